import type { GitOp, HttpOp } from '../graph/op.ts'

/** Where contexts come from that are not the caller's own directories. */
export interface ContextSources {
  /** A free path, for what arrives on standard input. */
  temporary(): string
  /** Bytes that an archive there may unpack to. */
  readonly unpackLimit: number
  /** The caller's: what is read here of files that were fetched ends with it. */
  readonly signal: AbortSignal
  /** A directory with the checkout; its time is the commit's. `name` is shown. */
  checkout(op: GitOp, name: string): Promise<string>
  /** A directory with the one file of the URL. */
  fetch(op: HttpOp, name: string): Promise<string>
  /** A directory with what the archive of the URL holds. */
  unpack(op: HttpOp, name: string): Promise<string>
}

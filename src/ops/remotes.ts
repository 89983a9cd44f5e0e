import type { Digest } from '../base/digest.ts'
import type { GitOp, HttpOp } from '../graph/op.ts'
import type { GitCommit } from '../sources/git/git.ts'
import type { Snapshot } from '../store/types.ts'

/** What comes from elsewhere. */
export interface Remotes {
  /** The root file system of an image that lowering resolved. */
  image(manifest: Digest, vertex: string): Snapshot
  /** The file of a URL, in the blob store: fetched, or known not to have changed (F31). */
  file(op: HttpOp, step: UrlStep): Promise<RemoteFile>
  /** Makes the file in a directory. */
  placeFile(file: RemoteFile, folder: string): Promise<void>
  /** What the ref of a repository leads to now. */
  commit(op: GitOp, step: GitStep): Promise<GitCommit>
  /** Writes the commit's files into an empty directory. */
  checkout(op: GitOp, commit: GitCommit, folder: string, step: GitStep): Promise<void>
}

export interface RemoteFile {
  readonly name: string
  readonly digest: Digest
  /** Seconds: Last-Modified, else 0 (F30). */
  readonly mtime: number
}

export interface UrlStep {
  readonly signal: AbortSignal
  /** Bytes; `total` where the server says it. A promise is waited for. */
  readonly onProgress: (current: number, total: number | undefined, done: boolean) => unknown
}

export interface GitStep {
  readonly signal: AbortSignal
  readonly onOutput: (stream: 'stdout' | 'stderr', data: Uint8Array) => unknown
}

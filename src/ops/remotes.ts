import type { Digest } from '../base/digest.ts'
import type { GitOp, HttpOp } from '../graph/op.ts'
import type { Snapshot } from '../store/types.ts'
import type { Ref } from './types.ts'

/** What comes from elsewhere. */
export interface Remotes {
  /** The root file system of an image that lowering resolved. */
  image(manifest: Digest, vertex: string): Snapshot
  http(op: HttpOp, signal: AbortSignal): Promise<Ref>
  git(op: GitOp, signal: AbortSignal): Promise<Ref>
}

import type { Digest } from '../base/digest.ts'
import type { HashedFile } from '../tree/hash.ts'
import type { Ref } from './ref.ts'

/** Which files of a ref a COPY, ADD or bind mount reads: what its key is made of (K7). */
export interface ContentSelector {
  readonly path: string
  readonly parents: boolean
  readonly exclude: readonly string[]
  /** A bind mount takes the path itself; COPY follows links and wildcards. */
  readonly wildcards: boolean
  /** One path alone, as bytes (tree's Selector). */
  readonly exact?: boolean
}

/** Content digests; those of immutable snapshots are remembered across builds, so that a cached COPY --from reads no file. */
export interface ContentHasher {
  digest(ref: Ref, selector: ContentSelector, signal: AbortSignal): Promise<Digest>
  /** The same without what this build knows of the caller's files: somebody may have changed them. */
  refreshed(): ContentHasher
  /** The files that were hashed to a digest, in this build or in one that kept them. */
  files(digest: Digest): readonly HashedFile[] | undefined
  /** Keeps what the digests of this build stand for, so that a later one can say what changed. */
  keep(digests: readonly Digest[]): void
}

/** Persistent memory of digests by an opaque key. */
export interface DigestMemo {
  get(key: string): string | undefined
  set(key: string, digest: string): void
}

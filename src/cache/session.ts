import type { Digest } from '../base/digest.ts'
import type { ResolvedOptions } from '../build-options.ts'
import type { Caller } from '../caller/caller.ts'
import type { ContextFiles } from '../context/contexts.ts'
import type { LayerCatalog } from '../layers/types.ts'
import type { Remotes } from '../ops/remotes.ts'
import type { Registries } from '../sources/registry/open.ts'
import type { FileDigests } from '../store/file-digests.ts'
import type { Snapshot } from '../store/types.ts'

/** Which caches a build takes and leaves. */
export type CacheOptions = Pick<ResolvedOptions, 'cacheFrom' | 'cacheTo'>

/** The parts of a build's session that caches stand on. */
export interface CacheSession {
  readonly layers: LayerCatalog
  readonly images: { describe(digest: Digest): BaseIdentity }
  readonly contexts: { files(name: string): Promise<ContextFiles> }
  readonly remotes: Pick<Remotes, 'file' | 'commit'>
  readonly registries: Registries
  readonly caller: Caller
  fileDigests(identity: string): FileDigests
}

/** What a base image is: what its name resolved to, and its layers. */
export interface BaseIdentity {
  readonly resolved: Digest
  readonly diffIds: readonly Digest[]
  readonly layers: Snapshot
}

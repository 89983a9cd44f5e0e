import type { OnEvent } from '../base/events.ts'
import type { BuildOptions } from '../build-options.ts'
import type { BaseLayers } from '../image/base-layers.ts'
import type { ContentHasher } from '../ops/content.ts'
import type { Snapshotter } from '../snapshot/types.ts'
import type { Store } from '../store/store.ts'
import type { BuildCache } from './build-cache.ts'

/** The parts of a build's session that a cache stands on. */
interface CacheSession {
  readonly store: Store
  readonly snapshots: Snapshotter
  readonly baseLayers: BaseLayers
  readonly content: ContentHasher
}

/** The caches that the options name, their metadata read; nothing is loaded when there are none. */
export async function openCache(
  options: BuildOptions,
  { store, snapshots, baseLayers, content }: CacheSession,
  { onEvent, signal }: { readonly onEvent: OnEvent; readonly signal: AbortSignal },
): Promise<BuildCache | undefined> {
  if (!options.cacheFrom?.length && !options.cacheTo?.length) return undefined
  const { BuildCache: Cache } = await import('./build-cache.ts')
  return Cache.open(options, { store, baseLayers, content, onEvent, signal, sources: { blobs: store.blobs, snapshots, baseLayers } })
}

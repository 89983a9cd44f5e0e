import type { Progress } from '../base/events.ts'
import type { BuildCache } from './build-cache.ts'
import type { CacheOptions, CacheSession } from './session.ts'

/** The caches that the options name, their metadata read; nothing is loaded when there are none. */
export async function openCache(options: CacheOptions, session: CacheSession, progress: Progress): Promise<BuildCache | undefined> {
  if (!options.cacheFrom?.length && !options.cacheTo?.length) return undefined
  const { BuildCache: Cache } = await import('./build-cache.ts')
  return Cache.open(options, session, progress)
}

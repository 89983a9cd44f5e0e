import { closeSync, openSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { collect } from './collect.ts'
import { readGcPolicy } from './gc-policy.ts'
import type { Store } from './store.ts'
import { ifPresent } from './store-error.ts'

/**
 * gc by itself: called at the end of a build that wrote something, acts at most once in the policy's interval, in one process at a time. What this build used stays: its lease is still held. Nothing here fails a build that is done.
 */
export async function autoCollect(store: Store): Promise<void> {
  try {
    const policy = readGcPolicy(store.layout)
    if (!policy.enabled || !isDue(store, policy.interval)) return
    const lock = store.locks.tryLock('auto-gc', 'exclusive')
    if (lock === undefined) return
    try {
      const { removed, freed } = await collect(store, { rules: policy.rules })
      if (removed.length > 0)
        store.onNotice(`the store was cleaned: ${removed.length} things, ${Math.round(freed / 1e6)} MB (gc.json in it has the policy)`)
    } finally {
      lock.release()
    }
  } catch (error) {
    store.onNotice(`the store was not cleaned: ${(error as Error).message}`)
  }
}

/** The time of the last run is a file's. The first build of a store has nothing to clean. */
function isDue(store: Store, interval: number): boolean {
  const stamp = join(store.layout.v1, 'gc-time')
  const last = ifPresent(() => statSync(stamp))?.mtimeMs
  if (last !== undefined && Date.now() - last < interval) return false
  closeSync(openSync(stamp, 'a', 0o600))
  const now = Date.now() / 1000
  utimesSync(stamp, now, now)
  return last !== undefined
}

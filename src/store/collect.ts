import { lstatSync, readdirSync, renameSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { Digest } from '../base/digest.ts'
import { rawRecords } from './cache-index.ts'
import { blobName, rawImages } from './image-index.ts'
import { layerName } from './layers.ts'
import { collectListings } from './listings.ts'
import { imageBlobs, storedImages } from './oci-index.ts'
import { removeTree } from './remove-tree.ts'
import { layerSize } from './sizes.ts'
import type { Store } from './store.ts'
import { ifPresent, storeError } from './store-error.ts'
import type { CacheRecord, ImageRecord, LayerId } from './types.ts'

/** One thing that gc may take. Sizes in bytes; of a record: of the layers that only records of the same or an older use need. */
export interface Collectable {
  readonly type: 'record' | 'layer' | 'blob' | 'mount'
  readonly id: string
  readonly size: number
  /** ISO time; absent for what nothing refers to. */
  readonly lastUsed?: string
}

/**
 * What goes besides garbage (layers and blobs that no image, record or running build refers to; it always goes). Images are never taken.
 * Records and cache mounts go when *any* of the rules says so and `filter` agrees.
 */
export interface CollectPolicy {
  /** Every record and mount that no running build uses. */
  readonly all?: boolean
  /** Records and mounts that were not used for this many milliseconds. */
  readonly olderThan?: number
  /** The least recently used ones, until the layers of records take at most this much. */
  readonly keepBytes?: number
  readonly filter?: (item: Collectable) => boolean
  /** Tells what would go. */
  readonly dryRun?: boolean
}

export interface Collected {
  readonly removed: readonly Collectable[]
  readonly freed: number
}

/**
 * Mark and sweep. Decided and renamed away under the lock that users of the store share (leases.ts), so no build can begin to rely on what
 * goes; deleted after it. Killed in the middle, it leaves a valid store: records go before their layers, layers before their blobs.
 */
export async function collect(store: Store, policy: CollectPolicy = {}): Promise<Collected> {
  await store.leases.sweep()
  // Before the lock: walking directories for their sizes takes long.
  const sizes = measureLayers(store)
  const blobsOfIndex = await imageBlobs(store.blobs, storedImages(store.layout))
  const away: string[] = []
  const removed = await store.leases.exclusively(() => {
    const collection = new Collection(store, policy, sizes, blobsOfIndex, away)
    try {
      return collection.run()
    } catch (error) {
      throw storeError(error, 'collect garbage')
    }
  })
  for (const path of away) {
    const [failure] = await removeTree(path)
    if (failure !== undefined) store.onNotice(`${path} cannot be removed: ${failure.message}`)
  }
  const mounts = await collectMounts(store, policy)
  const all = [...removed, ...mounts]
  return { removed: all, freed: all.reduce((sum, item) => sum + (item.type === 'record' ? 0 : item.size), 0) }
}

function measureLayers(store: Store): Map<LayerId, number> {
  return new Map(store.layers.directories().map((id) => [id, store.layers.info(id)?.size ?? layerSize(store.layers.fs(id))]))
}

function isExpired(lastUsed: string, policy: CollectPolicy): boolean {
  if (policy.all) return true
  return policy.olderThan !== undefined && Date.now() - Date.parse(lastUsed) >= policy.olderThan
}

class Collection {
  readonly #store: Store
  readonly #policy: CollectPolicy
  readonly #sizes: ReadonlyMap<LayerId, number>
  readonly #away: string[]
  readonly #leased: Set<string>
  readonly #images: readonly ImageRecord[]
  readonly #records: CacheRecord[]
  readonly #blobs: Set<Digest>
  readonly #removed: Collectable[] = []

  constructor(store: Store, policy: CollectPolicy, sizes: ReadonlyMap<LayerId, number>, blobs: ReadonlySet<Digest>, away: string[]) {
    this.#store = store
    this.#policy = policy
    this.#sizes = sizes
    this.#away = away
    this.#blobs = new Set(blobs)
    // First the leases: a build that ends after this has left its records by then, one that ended before has no lease and its records are read now.
    this.#leased = store.leases.read()
    this.#images = rawImages(store.layout).flatMap(({ record }) => record ?? [])
    this.#records = [...rawRecords(store.layout)].sort((a, b) => (a.lastUsed < b.lastUsed ? 1 : -1))
  }

  run(): Collectable[] {
    const kept = this.#collectRecords()
    if (!this.#policy.dryRun) collectListings(this.#store.layout, kept)
    const needed = this.#neededLayers(kept)
    this.#collectLayers(needed)
    this.#collectBlobs(needed)
    return this.#removed
  }

  /** Newest first; returns those that stay. */
  #collectRecords(): CacheRecord[] {
    const { keepBytes } = this.#policy
    const kept: CacheRecord[] = []
    const counted = new Set<LayerId>()
    let total = 0
    for (const record of this.#records) {
      const more = record.layers.filter((id) => !counted.has(id))
      const size = more.reduce((sum, id) => sum + (this.#sizes.get(id) ?? 0), 0)
      const tooMuch = keepBytes !== undefined && total + size > keepBytes
      const item: Collectable = { type: 'record', id: record.key, size, lastUsed: record.lastUsed }
      const inUse = record.layers.length > 0 && record.layers.every((id) => this.#leased.has(layerName(id)))
      if (!inUse && (tooMuch || isExpired(record.lastUsed, this.#policy)) && (this.#policy.filter?.(item) ?? true)) {
        this.#remove(item, () => unlinkSync(join(this.#store.layout.records, `${record.key.slice('sha256:'.length)}.json`)))
        continue
      }
      kept.push(record)
      for (const id of more) counted.add(id)
      total += size
    }
    return kept
  }

  #neededLayers(records: readonly CacheRecord[]): Set<LayerId> {
    const needed = new Set<LayerId>()
    for (const record of records) for (const id of record.layers) needed.add(id)
    for (const image of this.#images) for (const { id } of image.layers) needed.add(id)
    for (const name of this.#leased) if (name.startsWith('layer:')) needed.add(name.slice('layer:'.length) as LayerId)
    return needed
  }

  #collectLayers(needed: ReadonlySet<LayerId>): void {
    const { layers } = this.#store
    for (const id of layers.directories()) {
      if (needed.has(id)) continue
      this.#remove({ type: 'layer', id, size: this.#sizes.get(id) ?? 0 }, () => {
        const to = this.#store.temporary()
        if (layers.takeAway(id, to)) this.#away.push(to)
      })
    }
    if (!this.#policy.dryRun) for (const id of layers.known()) if (!needed.has(id)) layers.forget(id)
  }

  #collectBlobs(neededLayers: ReadonlySet<LayerId>): void {
    const { layers, layout } = this.#store
    for (const image of this.#images) this.#blobs.add(image.config)
    for (const id of neededLayers) for (const { digest } of layers.info(id)?.blobs ?? []) this.#blobs.add(digest)
    for (const name of readdirSync(layout.blobs)) {
      const digest = `sha256:${name}` as Digest
      if (this.#blobs.has(digest) || this.#leased.has(blobName(digest))) continue
      const path = join(layout.blobs, name)
      const size = ifPresent(() => lstatSync(path).size) ?? 0
      this.#remove({ type: 'blob', id: digest, size }, () => {
        const to = this.#store.temporary()
        renameSync(path, to)
        this.#away.push(to)
      })
    }
  }

  #remove(item: Collectable, action: () => void): void {
    this.#removed.push(item)
    if (!this.#policy.dryRun) ifPresent(action)
  }
}

/** Mounts lock themselves: one that a RUN uses stays, whatever the policy says. */
async function collectMounts(store: Store, policy: CollectPolicy): Promise<Collectable[]> {
  const removed: Collectable[] = []
  for (const { key, id, lastUsed, inUse, directories } of store.cacheMounts.list()) {
    if (inUse || !isExpired(lastUsed, policy)) continue
    const item: Collectable = { type: 'mount', id, size: directories.reduce((sum, path) => sum + layerSize(path), 0), lastUsed }
    if (!(policy.filter?.(item) ?? true)) continue
    if (policy.dryRun || (await store.cacheMounts.remove(key))) removed.push(item)
  }
  return removed
}

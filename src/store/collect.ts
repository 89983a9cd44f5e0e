import { lstatSync, readdirSync, renameSync, statfsSync, statSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, hexOf } from '../base/digest.ts'
import { rawRecords } from './cache-index.ts'
import { collectContentListings, digestsIn } from './content-listings.ts'
import { type Candidate, type Collectable, type CollectRule, type Facts, selectCollectable } from './gc-selection.ts'
import { blobName, imageFileName, rawImages } from './image-index.ts'
import { layerName } from './layers.ts'
import { imageBlobs, storedImages } from './oci-index.ts'
import { removeTree } from './remove-tree.ts'
import { layerSize, packedSizes } from './sizes.ts'
import type { Store } from './store.ts'
import { ifPresent, storeError } from './store-error.ts'
import type { CacheRecord, ImageRecord, LayerId } from './types.ts'

/** What goes besides garbage: layers and blobs that no image, record or running build refers to always go. */
export interface CollectPolicy {
  readonly rules?: readonly CollectRule[]
  /** Tells what would go. */
  readonly dryRun?: boolean
}

export interface Collected {
  readonly removed: readonly Collectable[]
  /** Bytes. */
  readonly freed: number
}

/**
 * Mark and sweep. Decided and renamed away under the lock that users of the store share (leases.ts), so no build can begin to rely on what
 * goes; deleted after it. Killed in the middle, it leaves a valid store: names go before records, records before their layers, layers before their blobs.
 */
export async function collect(store: Store, policy: CollectPolicy = {}): Promise<Collected> {
  await store.leases.sweep()
  // Before the lock: walking directories for their sizes takes long.
  const sizes = measureLayers(store)
  const mounts = measureMounts(store)
  const blobsOfIndex = await imageBlobs(store.blobs, storedImages(store.layout))
  const away: string[] = []
  const removed = await store.leases.exclusively(() => {
    const collection = new Collection(store, policy, { sizes, mounts, blobs: blobsOfIndex }, away)
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
  const gone = await removeMounts(store, removed, policy)
  const freed = gone.reduce((sum, { type, size }) => sum + (type === 'record' || type === 'image' ? 0 : size), 0)
  return { removed: gone, freed }
}

function measureLayers(store: Store): Map<LayerId, number> {
  const ofDirectory = (id: LayerId): [LayerId, number] => [id, store.layers.info(id)?.size ?? layerSize(store.layers.fs(id))]
  return new Map([...store.layers.directories().map(ofDirectory), ...packedSizes(store)])
}

function measureMounts(store: Store): Candidate[] {
  return store.cacheMounts.list().map(({ key, id, lastUsed, inUse, directories }) => {
    const own = directories.reduce((sum, path) => sum + layerSize(path), 0)
    return { type: 'mount', id: key, name: id, lastUsed, inUse, layers: [], own }
  })
}

/** Mounts lock themselves: one that a RUN began to use meanwhile stays. */
async function removeMounts(store: Store, removed: readonly Collectable[], { dryRun }: CollectPolicy): Promise<Collectable[]> {
  const gone: Collectable[] = []
  for (const item of removed) {
    if (item.type !== 'mount' || dryRun || (await store.cacheMounts.remove(item.id as Digest))) gone.push(item)
  }
  return gone
}

interface Measured {
  readonly sizes: ReadonlyMap<LayerId, number>
  readonly mounts: readonly Candidate[]
  /** Of images that other tools put into the OCI layout. */
  readonly blobs: ReadonlySet<Digest>
}

/** What is kept in memory of each record: with their parts, those of a large store would fill it. */
interface KnownRecord extends Pick<CacheRecord, 'key' | 'name' | 'lastUsed' | 'layers'> {
  readonly listings: readonly Digest[]
}

function known({ key, name, lastUsed, layers, parts }: CacheRecord): KnownRecord {
  return { key, lastUsed, layers, listings: digestsIn(parts), ...(name === undefined ? {} : { name }) }
}

class Collection {
  readonly #store: Store
  readonly #policy: CollectPolicy
  readonly #measured: Measured
  readonly #away: string[]
  readonly #leased: Set<string>
  readonly #images: readonly ImageRecord[]
  readonly #records: readonly KnownRecord[]
  readonly #removed: Collectable[] = []

  constructor(store: Store, policy: CollectPolicy, measured: Measured, away: string[]) {
    this.#store = store
    this.#policy = policy
    this.#measured = measured
    this.#away = away
    // First the leases: a build that ends after this has left its records by then, one that ended before has no lease and its records are read now.
    this.#leased = store.leases.read()
    this.#images = rawImages(store.layout).flatMap(({ record }) => record ?? [])
    this.#records = Array.from(rawRecords(store.layout), known)
  }

  run(): Collectable[] {
    const { kept, removed } = selectCollectable(this.#candidates(), this.#policy.rules ?? [], this.#facts())
    for (const item of removed.filter(({ type }) => type === 'image')) this.#remove(item, () => unlinkSync(this.#fileOf(item)))
    for (const item of removed.filter(({ type }) => type === 'record')) this.#remove(item, () => unlinkSync(this.#fileOf(item)))
    this.#removed.push(...removed.filter(({ type }) => type === 'mount'))
    const needed = this.#withParents([...kept.map(({ layers }) => layers), this.#leasedLayers()])
    this.#collectLayers(needed)
    const images = new Set(kept.filter(({ type }) => type === 'image').map(({ id }) => id))
    this.#collectBlobs(
      needed,
      this.#images.filter(({ name }) => images.has(name)),
    )
    if (!this.#policy.dryRun) {
      const records = new Set(kept.filter(({ type }) => type === 'record').map(({ id }) => id))
      const listings = this.#records.flatMap((record) => (records.has(record.key) ? record.listings : []))
      collectContentListings(this.#store.layout, listings)
    }
    return this.#removed
  }

  #candidates(): Candidate[] {
    const records = this.#records.map(({ key, name, lastUsed, layers }): Candidate => {
      const inUse = layers.length > 0 && layers.every((id) => this.#leased.has(layerName(id)))
      return { type: 'record', id: key, lastUsed, inUse, layers, own: 0, ...(name === undefined ? {} : { name }) }
    })
    const images = this.#images.map(({ name, layers }): Candidate => {
      const written = ifPresent(() => statSync(join(this.#store.layout.images, imageFileName(name))))
      const lastUsed = (written?.mtime ?? new Date()).toISOString()
      return { type: 'image', id: name, name, lastUsed, inUse: false, layers: layers.map(({ id }) => id), own: 0 }
    })
    return [...records, ...images, ...this.#measured.mounts]
  }

  #facts(): Facts {
    const { bavail, bsize } = statfsSync(this.#store.layout.v1)
    return { sizes: this.#measured.sizes, pinned: new Set(this.#leasedLayers()), free: bavail * bsize, now: Date.now() }
  }

  #leasedLayers(): LayerId[] {
    return [...this.#leased].flatMap((name) => (name.startsWith('layer:') ? [name.slice('layer:'.length) as LayerId] : []))
  }

  /** A layer's tar is the difference to its parents, which need not be what it stands on. */
  #withParents(lists: readonly (readonly LayerId[])[]): Set<LayerId> {
    const needed = new Set<LayerId>()
    const pending: LayerId[] = []
    const need = (ids: readonly LayerId[]) => {
      for (const id of ids) {
        if (needed.has(id)) continue
        needed.add(id)
        pending.push(id)
      }
    }
    for (const ids of lists) {
      need(ids)
      for (let id = pending.pop(); id !== undefined; id = pending.pop()) need(this.#store.layers.info(id)?.parent ?? [])
    }
    return needed
  }

  #fileOf({ type, id }: Collectable): string {
    const { images, records } = this.#store.layout
    return type === 'image' ? join(images, imageFileName(id)) : join(records, `${hexOf(id as Digest)}.json`)
  }

  #collectLayers(needed: ReadonlySet<LayerId>): void {
    const { layers } = this.#store
    for (const id of layers.directories()) {
      if (needed.has(id)) continue
      this.#remove({ type: 'layer', id, size: this.#measured.sizes.get(id) ?? 0 }, () => {
        const to = this.#store.temporary()
        if (layers.takeAway(id, to)) this.#away.push(to)
      })
    }
    if (!this.#policy.dryRun) for (const id of layers.known()) if (!needed.has(id)) layers.forget(id)
  }

  #collectBlobs(neededLayers: ReadonlySet<LayerId>, images: readonly ImageRecord[]): void {
    const { layers, layout } = this.#store
    const needed = new Set(this.#measured.blobs)
    for (const image of images) needed.add(image.config)
    for (const id of neededLayers) {
      const { blobs = [], times } = layers.info(id) ?? {}
      for (const { digest } of blobs) needed.add(digest)
      if (times !== undefined) needed.add(times)
    }
    for (const name of readdirSync(layout.blobs)) {
      const digest = `sha256:${name}` as Digest
      if (needed.has(digest) || this.#leased.has(blobName(digest))) continue
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

import { createBlobStore, hasBlob } from './blob-store.ts'
import { createCacheIndex } from './cache-index.ts'
import { type CacheMounts, createCacheMounts } from './cache-mounts.ts'
import { syncFileSystem } from './durability.ts'
import { blobName, createImageIndex } from './image-index.ts'
import { type CanFetch, createLayers, type Layers } from './layers.ts'
import { openLayout, type StoreLayout } from './layout.ts'
import { createLeases, type Leases } from './leases.ts'
import { createListings, type Listings } from './listings.ts'
import { createLocks, type Locks } from './locks.ts'
import { createStatCaches, type StatCaches } from './stat-cache.ts'
import type { BlobStore, CacheIndex, ImageIndex, LayerInfo } from './types.ts'

export { defaultRoot } from './layout.ts'

export interface StoreOptions {
  /** Things the user may want to know, and that are no errors. */
  readonly onNotice?: (message: string) => void
  /** Besides layers whose blob is in the store: which layers can be had from elsewhere. */
  readonly canFetch?: CanFetch
}

/** One process's hold on a store. Opening reads one file; nothing is locked, scanned or written before something is used. */
export interface Store {
  readonly layout: StoreLayout
  readonly blobs: BlobStore
  readonly cache: CacheIndex
  readonly listings: Listings
  readonly images: ImageIndex
  readonly layers: Layers
  readonly statCache: StatCaches
  readonly cacheMounts: CacheMounts
  readonly locks: Locks
  readonly leases: Leases
  readonly onNotice: (message: string) => void
  /** A free path under tmp/ that is removed when this process is dead. Whoever makes something there removes or renames it. */
  temporary(): string
  /** This process put a layer or a blob into it. */
  grew(): boolean
  /** Makes what this process made and used survive a power cut: once, at the end of a build, before its images are named. */
  flush(): Promise<void>
  /** Lets go of everything; gc may take what this process used. */
  close(): Promise<void>
}

/** Opens the store at `root`, and makes it when it is not there. Errors: STORE_UNSAFE, STORE_READONLY, STORE_FORMAT, STORE_FULL, STORE_IO. */
export async function openStore(root: string, options: StoreOptions = {}): Promise<Store> {
  const onNotice = options.onNotice ?? (() => {})
  const layout = openLayout(root)
  const leases = createLeases(layout, onNotice)
  const locks = createLocks(layout.locks)
  const canFetch: CanFetch = (id, info) => hasStoredBlob(layout, info) || (options.canFetch?.(id, info) ?? false)
  let grew = false
  const onGrowth = () => {
    grew = true
  }
  const layers = createLayers({ layout, leases, locks, canFetch, onGrowth })
  return {
    layout,
    blobs: createBlobStore({
      folder: layout.blobs,
      temporary: leases.temporary,
      use: (digest, check) => leases.use([blobName(digest)], check),
      onGrowth,
    }),
    cache: createCacheIndex(layout, leases, layers),
    listings: createListings(layout, leases),
    images: createImageIndex(layout, leases, layers),
    layers,
    statCache: createStatCaches(layout, leases),
    cacheMounts: createCacheMounts(layout, leases, locks),
    locks,
    leases,
    onNotice,
    temporary: leases.temporary,
    grew: () => grew,
    async flush() {
      const ids = layers.unsynced()
      if (ids.length === 0) return
      await syncFileSystem(layout.v1)
      layers.markDurable(ids)
    },
    close: leases.close,
  }
}

/** Only a blob whose content can be checked after unpacking, and of which it is known over what it unpacks, is as good as the layer. */
function hasStoredBlob(layout: StoreLayout, info: LayerInfo): boolean {
  return info.diffId !== undefined && info.parent !== undefined && (info.blobs ?? []).some(({ digest }) => hasBlob(layout.blobs, digest))
}

import { existsSync } from 'node:fs'
import { createBlobStore } from './blob-store.ts'
import { createCacheIndex } from './cache-index.ts'
import { type CacheMounts, createCacheMounts } from './cache-mounts.ts'
import { type ContentListings, createContentListings } from './content-listings.ts'
import { isSyncShort, syncFileSystem, UnsyncedFiles } from './durability.ts'
import { type OpenFileDigests, openFileDigests } from './file-digests.ts'
import { blobName, createImageIndex } from './image-index.ts'
import { createLayers, type Layers } from './layers.ts'
import { openLayout, type StoreLayout } from './layout.ts'
import { createLeases, type Leases } from './leases.ts'
import { createLocks, type Locks } from './locks.ts'
import { createStatCaches, type StatCaches } from './stat-cache.ts'
import type { BlobStore, CacheIndex, ImageIndex } from './types.ts'

export interface StoreOptions {
  /** Things the user may want to know, and that are no errors. */
  readonly onNotice?: (message: string) => void
}

/** A store that is open. Nothing of it is held: who uses it begins an operation, and gc of any process may collect between two of them. */
export interface SharedStore {
  readonly layout: StoreLayout
  /** Between all operations of all processes. */
  readonly locks: Locks
  begin(options?: StoreOptions): Store
}

/**
 * One operation's hold on a store: a build, or a command that looks after it. All that it remembers of what is there (claimed layers, digests of files) ends
 * with it, since what it held may then go. Beginning one locks and writes nothing in a store that is there.
 */
export interface Store {
  readonly layout: StoreLayout
  readonly blobs: BlobStore
  readonly cache: CacheIndex
  readonly listings: ContentListings
  readonly images: ImageIndex
  readonly layers: Layers
  readonly statCache: StatCaches
  readonly fileDigests: OpenFileDigests
  readonly cacheMounts: CacheMounts
  readonly locks: Locks
  readonly leases: Leases
  readonly onNotice: (message: string) => void
  /** A free path under tmp/ that is removed at the end of the operation, or when the process is dead. Whoever makes something there removes or renames it. */
  temporary(): string
  /** This operation put a layer or a blob into it. */
  grew(): boolean
  /** Makes what this operation made and used survive a power cut, layers as directories or as blobs: once, at the end of a build, before its images are named. */
  flush(disk?: { readonly isShort: boolean }): Promise<void>
  /** Ends the operation: gc may take what it used. */
  close(): Promise<void>
}

/** Opens the store at `root`, and makes it when it is not there. Errors: STORE_UNSAFE, STORE_READONLY, STORE_FORMAT, STORE_FULL, STORE_IO. */
export function openSharedStore(root: string): SharedStore {
  const layout = openLayout(root)
  const locks = createLocks(layout.locks)
  return {
    layout,
    locks,
    begin(options = {}) {
      // Who has it open may outlive it: it is removed, for an empty one.
      if (!existsSync(layout.v1)) openLayout(root)
      return beginOperation(layout, locks, options)
    },
  }
}

/** A store that is opened for one operation. Errors as those of `openSharedStore`. */
export async function openStore(root: string, options: StoreOptions = {}): Promise<Store> {
  return openSharedStore(root).begin(options)
}

function beginOperation(layout: StoreLayout, locks: Locks, options: StoreOptions): Store {
  const onNotice = options.onNotice ?? (() => {})
  const leases = createLeases(layout, onNotice)
  let grew = false
  const onGrowth = () => {
    grew = true
  }
  const files = new UnsyncedFiles()
  const deps = { layout, leases, locks, onGrowth, onWrite: files.add }
  const layers = createLayers(deps)
  return {
    layout,
    blobs: createBlobStore({
      folder: layout.blobs,
      temporary: leases.temporary,
      use: (digest, check) => leases.use([blobName(digest)], check),
      onGrowth,
    }),
    cache: createCacheIndex(deps, layers),
    listings: createContentListings(layout, leases),
    images: createImageIndex(deps, layers, files),
    layers,
    statCache: createStatCaches(layout, leases),
    fileDigests: openFileDigests(layout, leases),
    cacheMounts: createCacheMounts(layout, leases, locks),
    locks,
    leases,
    onNotice,
    temporary: leases.temporary,
    grew: () => grew,
    async flush({ isShort } = { isShort: isSyncShort() }) {
      const ids = layers.unsynced()
      if (ids.length === 0) return
      if (!isShort && ids.every(layers.hasBlob)) return files.sync()
      await files.by(() => syncFileSystem(layout.v1))
      layers.markDurable(ids)
    },
    close: leases.close,
  }
}

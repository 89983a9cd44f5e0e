import { lstatSync } from 'node:fs'
import type { Digest } from '../base/digest.ts'
import { layerSize } from './sizes.ts'
import type { Store } from './store.ts'
import { ifPresent } from './store-error.ts'
import type { CacheRecord, ImageRecord, LayerId, Snapshot } from './types.ts'

/** Bytes on disk. `unique` would be freed with the object alone, `shared` is also needed by others. */
export interface Usage {
  readonly unique: number
  readonly shared: number
}

export interface DiskUsage {
  readonly images: readonly { readonly image: ImageRecord; readonly usage: Usage }[]
  readonly records: readonly { readonly record: CacheRecord; readonly usage: Usage }[]
  /** `users`: how many images and records need the layer; 0 is garbage, or a running build's. */
  readonly layers: readonly { readonly id: LayerId; readonly size: number; readonly users: number }[]
  readonly blobs: readonly { readonly digest: Digest; readonly size: number }[]
  readonly mounts: readonly {
    readonly id: string
    readonly key: Digest
    readonly size: number
    readonly lastUsed: string
    readonly inUse: boolean
  }[]
  readonly total: number
}

/** Walks the whole store; takes as long as `du`. */
export async function diskUsage(store: Store): Promise<DiskUsage> {
  const images = await store.images.list()
  const records: CacheRecord[] = []
  for await (const record of store.cache.list()) records.push(record)
  const sizes = new Map(store.layers.directories().map((id) => [id, layerSize(store.layers.directory(id))]))
  const users = countUsers([...images.map(layersOf), ...records.map(({ layers }) => layers)])
  const usage = (snapshot: Snapshot): Usage => {
    const result = { unique: 0, shared: 0 }
    for (const id of new Set(snapshot)) result[users.get(id) === 1 ? 'unique' : 'shared'] += sizes.get(id) ?? 0
    return result
  }
  const layers = [...sizes].map(([id, size]) => ({ id, size, users: users.get(id) ?? 0 }))
  const blobs: { digest: Digest; size: number }[] = []
  for await (const digest of store.blobs.list()) {
    blobs.push({ digest, size: (ifPresent(() => lstatSync(store.blobs.path(digest)))?.blocks ?? 0) * 512 })
  }
  const mounts = store.cacheMounts.list().map(({ id, key, lastUsed, inUse, directories }) => {
    return { id, key, lastUsed, inUse, size: directories.reduce((sum, path) => sum + layerSize(path), 0) }
  })
  return {
    images: images.map((image) => ({ image, usage: usage(layersOf(image)) })),
    records: records.map((record) => ({ record, usage: usage(record.layers) })),
    layers,
    blobs,
    mounts,
    total: [...layers, ...blobs, ...mounts].reduce((sum, { size }) => sum + size, 0),
  }
}

const layersOf = (image: ImageRecord): Snapshot => image.layers.map(({ id }) => id)

function countUsers(snapshots: readonly Snapshot[]): Map<LayerId, number> {
  const users = new Map<LayerId, number>()
  for (const snapshot of snapshots) for (const id of new Set(snapshot)) users.set(id, (users.get(id) ?? 0) + 1)
  return users
}

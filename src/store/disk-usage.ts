import { lstatSync } from 'node:fs'
import type { Digest } from '../base/digest.ts'
import { layerSize, packedSizes } from './sizes.ts'
import type { Store } from './store.ts'
import { ifPresent } from './store-error.ts'
import type { CacheRecord, ImageRecord, LayerId, Snapshot } from './types.ts'

/** Bytes on disk. `unique` would be freed with the object alone, `shared` is also needed by others. */
export interface Usage {
  readonly unique: number
  readonly shared: number
}

/** What one line of a Dockerfile costs: the layers that its step made, of all the builds that the store remembers. */
interface LineUsage extends Usage {
  /** `Dockerfile:3`; absent for steps that no line stands for. */
  readonly place?: string
  /** The step as the last build showed it. */
  readonly name: string
  /** Records of the step: how many versions of it are kept. */
  readonly versions: number
  /** Bytes of the newest one. */
  readonly latest: number
  /** ISO time. */
  readonly lastUsed: string
}

/** A record without its parts: those of a large store would fill the memory. */
type StoredRecord = Omit<CacheRecord, 'parts'>

export interface DiskUsage {
  readonly images: readonly { readonly image: ImageRecord; readonly usage: Usage }[]
  readonly records: readonly { readonly record: StoredRecord; readonly usage: Usage }[]
  /** Most expensive first. */
  readonly lines: readonly LineUsage[]
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
  const records: StoredRecord[] = []
  for await (const { parts: _parts, ...record } of store.cache.list()) records.push(record)
  const directories = store.layers.directories().map((id): [LayerId, number] => [id, layerSize(store.layers.directory(id))])
  const sizes = new Map([...directories, ...packedSizes(store)])
  const users = countUsers([...images.map(layersOf), ...records.map(({ layers }) => layers)])
  const usage = (snapshot: Snapshot): Usage => {
    const result = { unique: 0, shared: 0 }
    for (const id of new Set(snapshot)) result[users.get(id) === 1 ? 'unique' : 'shared'] += sizes.get(id) ?? 0
    return result
  }
  const layers = directories.map(([id, size]) => ({ id, size, users: users.get(id) ?? 0 }))
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
    lines: usageByLine(records, images, sizes),
    layers,
    blobs,
    mounts,
    total: [...layers, ...blobs, ...mounts].reduce((sum, { size }) => sum + size, 0),
  }
}

/** A step's own layer is the top one of its record. `shared`: an image, or another line, has it too. */
function usageByLine(records: readonly StoredRecord[], images: readonly ImageRecord[], sizes: ReadonlyMap<LayerId, number>): LineUsage[] {
  const byStep = new Map<string, StoredRecord[]>()
  for (const record of records) {
    const versions = byStep.get(record.step)
    if (versions === undefined) byStep.set(record.step, [record])
    else versions.push(record)
  }
  const tops = (list: readonly StoredRecord[]) => new Set(list.flatMap(({ layers }) => layers.at(-1) ?? []))
  const makers = countUsers([...images.map(layersOf), ...[...byStep.values()].map((list) => [...tops(list)])])
  const lines = [...byStep.values()].map((list): LineUsage => {
    const [newest, ...others] = list.sort((a, b) => (a.lastUsed < b.lastUsed ? 1 : -1)) as [StoredRecord, ...StoredRecord[]]
    const cost = { unique: 0, shared: 0 }
    for (const id of tops(list)) cost[makers.get(id) === 1 ? 'unique' : 'shared'] += sizes.get(id) ?? 0
    const { place, name = newest.step, lastUsed } = newest
    const latest = sizes.get(newest.layers.at(-1) as LayerId) ?? 0
    return { ...(place === undefined ? {} : { place }), name, ...cost, versions: 1 + others.length, latest, lastUsed }
  })
  return lines.sort((a, b) => b.unique + b.shared - (a.unique + a.shared))
}

const layersOf = (image: ImageRecord): Snapshot => image.layers.map(({ id }) => id)

function countUsers(snapshots: readonly Snapshot[]): Map<LayerId, number> {
  const users = new Map<LayerId, number>()
  for (const snapshot of snapshots) for (const id of new Set(snapshot)) users.set(id, (users.get(id) ?? 0) + 1)
  return users
}

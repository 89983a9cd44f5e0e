import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode, TbuildError } from '../base/errors.ts'
import { randomHex } from '../base/random.ts'
import { readSealed, sealJson, writeAtomicSync } from './atomic-file.ts'
import { hasBlob as isBlobThere } from './blob-store.ts'
import { bootMark, durableMark } from './durability.ts'
import type { StoreLayout } from './layout.ts'
import type { Leases } from './leases.ts'
import type { Locks } from './locks.ts'
import { ifPresent, storeError } from './store-error.ts'
import type { LayerId, LayerInfo, LayerState } from './types.ts'

/** What the layers of one store share with the rest of it. */
export interface LayersDeps {
  readonly layout: StoreLayout
  readonly leases: Leases
  readonly locks: Locks
  /** Called when a layer's directory came to be. */
  readonly onGrowth: () => void
  /** Called when something was written that is not synced. */
  readonly onWrite: (path: string) => void
}

/**
 * The layers on disk. A layer is *known* when layers/<id>.json says something of it, which need not be there. All but `install`, `update` and `claim` are
 * synchronous and cheap.
 */
export interface Layers {
  directory(id: LayerId): string
  fs(id: LayerId): string
  info(id: LayerId): LayerInfo | undefined
  /** The same, read once an operation: without what other processes add meanwhile, so not for gc. */
  recall(id: LayerId): LayerInfo | undefined
  /** What can be had from elsewhere during the operation: kept by whoever knows it (src/layers). */
  readonly remote: Set<LayerId>
  /** For whoever has claimed it, or only looks. */
  state(id: LayerId): LayerState
  /** Keeps layers from gc until the operation ends, and then looks where they are. */
  claim(ids: readonly LayerId[]): Promise<ReadonlyMap<LayerId, LayerState>>
  /** Merges into what is known, also of a layer that is not there. */
  update(id: LayerId, info: LayerInfo): Promise<void>
  /** Renames a prepared directory (with fs/ in it) to its id; false when there is one already, and the prepared one is untouched. */
  install(prepared: string, id: LayerId): Promise<boolean>
  /** Ids with a directory, whole or not. */
  directories(): LayerId[]
  /** Ids with a .json. */
  known(): LayerId[]
  /** Renames the directory to `to`; the caller removes it. False when there is none. */
  takeAway(id: LayerId, to: string): boolean
  forget(id: LayerId): void
  /** Layers that this operation made as blobs, and directories that it uses, that nobody synced yet, also those of others: an image may be named that has them. */
  unsynced(): LayerId[]
  /** Whether the store can unpack the layer again. */
  hasBlob(id: LayerId): boolean
  /** The file without which nothing finds the layer after a power cut; undefined where its directory survives that. */
  neededFile(id: LayerId): string | undefined
  markDurable(ids: readonly LayerId[]): void
}

const LAYER_ID = /^[0-9a-f]{16,64}$/

/** Strict: an id becomes part of a path. */
function parseLayerId(text: string): LayerId {
  if (LAYER_ID.test(text)) return text as LayerId
  throw new TbuildError('LAYER_ID_INVALID', `invalid layer id: ${JSON.stringify(text).slice(0, 100)}`)
}

export function randomLayerId(): LayerId {
  return randomHex(16) as LayerId
}

/** The line under which a layer stands in a lease. */
export const layerName = (id: LayerId): string => `layer:${id}`

export function createLayers({ layout, leases, locks, onGrowth, onWrite }: LayersDeps): Layers {
  const remote = new Set<LayerId>()
  /** Claimed and present: nobody takes these away, so they need no second look. */
  const safe = new Set<LayerId>()
  /** Survive a power cut. */
  const durable = new Set<LayerId>()
  /** Made by this operation as a blob alone, and not synced yet. */
  const packed = new Set<LayerId>()
  const read = new Map<LayerId, LayerInfo>()
  /** Of `fs`, which each step asks for of each layer below it. */
  const paths = new Map<LayerId, string>()
  // An id is checked, so there is nothing to normalize.
  const directory = (id: LayerId) => `${layout.layers}/${parseLayerId(id)}`

  function fs(id: LayerId): string {
    const path = paths.get(id) ?? `${directory(id)}/fs`
    paths.set(id, path)
    return path
  }

  const infoFile = (id: LayerId) => `${directory(id)}.json`

  function info(id: LayerId): LayerInfo | undefined {
    const kept = readSealed(infoFile(id)) as KeptInfo | undefined
    return kept && fromKept(kept)
  }

  function recall(id: LayerId): LayerInfo | undefined {
    const known = read.get(id) ?? info(id)
    if (known !== undefined) read.set(id, known)
    return known
  }

  const markOf = (id: LayerId) => ifPresent(() => readFileSync(join(directory(id), 'boot'), 'latin1'))

  const isDurable = (id: LayerId) => durable.has(id) || markOf(id) === durableMark()

  function hasDirectory(id: LayerId): boolean {
    const boot = markOf(id)
    if (boot !== durableMark() && boot !== bootMark()) return false
    if (boot === durableMark()) durable.add(id)
    return ifPresent(() => lstatSync(fs(id)))?.isDirectory() ?? false
  }

  /** Only a blob whose content can be checked after unpacking, and of which it is known over what it unpacks, is as good as the layer. */
  function hasBlobOf({ diffId, parent, blobs = [], times }: LayerInfo): boolean {
    if (diffId === undefined || parent === undefined || (times !== undefined && !isBlobThere(layout.blobs, times))) return false
    return blobs.some(({ digest }) => isBlobThere(layout.blobs, digest))
  }

  function hasBlob(id: LayerId): boolean {
    const known = info(id)
    return known !== undefined && hasBlobOf(known)
  }

  function state(id: LayerId): LayerState {
    if (hasDirectory(id)) return 'directory'
    if (hasBlob(id)) return 'blob'
    return remote.has(id) ? 'remote' : 'missing'
  }

  async function claim(ids: readonly LayerId[]): Promise<ReadonlyMap<LayerId, LayerState>> {
    const open = ids.filter((id) => !safe.has(id))
    if (open.length === 0) return new Map(ids.map((id) => [id, 'directory']))
    const states = await leases.use(open.map(layerName), () => open.map(state))
    for (const [index, id] of open.entries()) if (states[index] === 'directory') safe.add(id)
    const found = new Map(open.map((id, index) => [id, states[index] as LayerState]))
    return new Map(ids.map((id) => [id, found.get(id) ?? 'directory']))
  }

  async function update(id: LayerId, more: LayerInfo): Promise<void> {
    try {
      await leases.use([layerName(id)], () => {})
      await locks.withLock(`layer-info:${id}`, { mode: 'exclusive' }, async () => {
        const before = info(id)
        const merged = { ...before, ...more }
        // An image may be named that counts on the blob that the old bytes name: a power cut must leave them or the new ones.
        const isNeeded = before !== undefined && hasBlobOf(before) && !isDurable(id)
        writeAtomicSync(leases.temporary(), infoFile(id), sealJson(asKept(merged) as never), { durable: isNeeded })
        read.set(id, merged)
        if (more.times !== undefined) packed.add(id)
      })
      onWrite(infoFile(id))
    } catch (error) {
      throw storeError(error, 'keep what is known of a layer')
    }
  }

  async function install(prepared: string, id: LayerId): Promise<boolean> {
    try {
      writeFileSync(join(prepared, 'boot'), bootMark())
      const installed = await leases.use([layerName(id)], () => renameInto(prepared, id))
      const result = installed || hasDirectory(id) ? installed : await replaceStale(prepared, id)
      safe.add(id)
      if (result) onGrowth()
      return result
    } catch (error) {
      throw storeError(error, 'keep a layer')
    }
  }

  function renameInto(prepared: string, id: LayerId): boolean {
    try {
      renameSync(prepared, directory(id))
      return true
    } catch (error) {
      if (errorCode(error) === 'ENOTEMPTY' || errorCode(error) === 'EEXIST') return false
      throw error
    }
  }

  /** A power cut left a directory of unknown content. Under a lock, or a second process would take away the first one's new layer. */
  async function replaceStale(prepared: string, id: LayerId): Promise<boolean> {
    return await locks.withLock(`layer-stale:${id}`, { mode: 'exclusive' }, async () => {
      if (hasDirectory(id)) return false
      takeAway(id, leases.temporary())
      return renameInto(prepared, id)
    })
  }

  function takeAway(id: LayerId, to: string): boolean {
    safe.delete(id)
    durable.delete(id)
    try {
      renameSync(directory(id), to)
      return true
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return false
      throw storeError(error, 'remove a layer')
    }
  }

  return {
    directory,
    fs,
    info,
    recall,
    remote,
    state,
    claim,
    update,
    install,
    takeAway,
    directories: () => readdirSync(layout.layers).filter((name) => LAYER_ID.test(name)) as LayerId[],
    known: () => readdirSync(layout.layers).flatMap((name) => (/^[0-9a-f]{16,64}\.json$/.test(name) ? [name.slice(0, -5) as LayerId] : [])),
    forget(id) {
      read.delete(id)
      paths.delete(id)
      ifPresent(() => unlinkSync(infoFile(id)))
    },
    hasBlob,
    neededFile: (id) => (isDurable(id) ? undefined : infoFile(id)),
    unsynced: () => [...packed, ...[...safe].filter((id) => !durable.has(id) && markOf(id) === bootMark())],
    markDurable(ids) {
      for (const id of ids) {
        if (packed.delete(id)) continue
        // A torn mark says no boot, so it is safe to write it without syncing again.
        ifPresent(() => writeAtomicSync(leases.temporary(), join(directory(id), 'boot'), durableMark(), { durable: false }))
      }
    },
  }
}

/** A LayerInfo as it lies on the disk. */
type KeptInfo = Omit<LayerInfo, 'times'> & { readonly packed?: Required<Pick<LayerInfo, 'parent' | 'times'>> }

/**
 * What a layer that never was a directory was made over stands with its times. A tbuild that knows nothing of these sees no parent, without which it unpacks no blob:
 * for it the layer is not there, and it makes another one instead of a directory with other times.
 */
function asKept({ times, parent, ...info }: LayerInfo): KeptInfo {
  if (parent === undefined) return info
  return times === undefined ? { ...info, parent } : { ...info, packed: { parent, times } }
}

function fromKept({ packed, ...info }: KeptInfo): LayerInfo {
  return { ...info, ...packed }
}

/** For a new active layer: fs/ and work/ under a new directory. */
export function makeLayerFolder(folder: string): { fs: string; work: string } {
  const parts = { fs: join(folder, 'fs'), work: join(folder, 'work') }
  mkdirSync(folder, { mode: 0o700 })
  mkdirSync(parts.fs, { mode: 0o755 })
  mkdirSync(parts.work, { mode: 0o700 })
  return parts
}

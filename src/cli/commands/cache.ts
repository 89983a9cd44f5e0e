import { statSync } from 'node:fs'
import { TbuildError } from '../../base/errors.ts'
import type { CacheMountsTag } from '../../export/cache-mounts-registry.ts'
import type { CacheMountEntry } from '../../store/cache-mounts.ts'
import type { Store } from '../../store/store.ts'
import { ifPresent } from '../../store/store-error.ts'
import { ThisMachine } from '../../this-machine/this-machine.ts'
import { parseImageReference } from '../../values/image-reference.ts'
import type { Io } from '../io.ts'
import { csvPairs } from '../options/csv.ts'
import { takeFlag, takeValue } from '../options/pairs.ts'
import { ago, humanSize, table } from '../table.ts'
import { usage } from '../usage.ts'
import { type StoreFlags, withWritableStore } from './writable-store.ts'

export interface CacheFlags extends StoreFlags {
  /** Ids as the Dockerfile has them (the target, where it has none), or keys. */
  id: string[]
  all?: boolean
}

export type CacheAction = 'ls' | 'du' | 'rm' | 'export' | 'import'

/** `tbuild cache ls|du|rm|export|import` */
export async function cacheCommand(
  action: CacheAction,
  directory: string | undefined,
  flags: CacheFlags,
  { io, args }: { io: Io; args: readonly string[] },
): Promise<number> {
  if (action === 'rm' && flags.id.length === 0 && !flags.all) throw usage('nothing to remove', 'name cache mounts with --id, or give --all')
  if (flags.id.includes('')) throw usage('--id needs a value', '`tbuild cache ls` lists them')
  if (directory === '') throw usage(`no place to ${action} cache mounts is named`, 'give a directory, or type=registry,ref=REF')
  return await withWritableStore(flags, { io, args }, async (store) => {
    const text = await ACTIONS[action](store, flags, mountsPlace(directory ?? '', io.env))
    io.stdout.write(text)
    return 0
  })
}

const ACTIONS: Readonly<Record<CacheAction, (store: Store, flags: CacheFlags, place: Place) => Promise<string>>> = {
  ls: async (store, flags) => list(chosen(store, flags), flags, undefined),
  async du(store, flags) {
    const { layerSize } = await import('../../store/sizes.ts')
    const entries = chosen(store, flags)
    return list(
      entries,
      flags,
      entries.map(({ directories }) => directories.reduce((sum, path) => sum + layerSize(path), 0)),
    )
  },
  async rm(store, flags) {
    const entries = chosen(store, flags)
    const used: string[] = []
    const removed: CacheMountEntry[] = []
    for (const entry of entries) {
      if (await store.cacheMounts.remove(entry.key)) removed.push(entry)
      else used.push(entry.id)
    }
    if (used.length > 0) {
      throw new TbuildError('CACHE_MOUNT_IN_USE', `used by a running build: ${used.join(', ')}`, { hint: 'try again when it has ended' })
    }
    return report('removed', removed, flags)
  },
  async export(store, flags, { directory, registry }) {
    if (registry !== undefined) {
      const { pushCacheMounts } = await import('../../export/cache-mounts-registry.ts')
      const pushed = inTemporary(store, (folder) => pushCacheMounts(store.cacheMounts, chosen(store, flags), { ...registry, folder }))
      return report('exported', await pushed, flags)
    }
    const { exportCacheMounts } = await import('../../export/cache-mounts.ts')
    const { readdirSync } = await import('node:fs')
    if ((ifPresent(() => readdirSync(directory)) ?? []).length > 0) {
      throw new TbuildError('EXPORT_DEST_NOT_EMPTY', `${directory} is not empty`, { hint: 'give a directory that is empty or not there' })
    }
    return report('exported', await exportCacheMounts(store.cacheMounts, chosen(store, flags), directory), flags)
  },
  async import(store, flags, { directory, registry }) {
    if (registry !== undefined) {
      const { pullCacheMounts } = await import('../../export/cache-mounts-registry.ts')
      const pulled = await inTemporary(store, (folder) => pullCacheMounts(store.cacheMounts, flags.id, { ...registry, folder }))
      return imported(pulled, flags)
    }
    if (!ifPresent(() => statSync(directory))?.isDirectory()) {
      throw new TbuildError('CACHE_EXPORT_INVALID', `${directory} is not a directory`, { hint: 'give what `tbuild cache export` wrote' })
    }
    const { importCacheMounts } = await import('../../export/cache-mounts.ts')
    return imported(await importCacheMounts(store.cacheMounts, directory, flags.id), flags)
  },
}

/** Where cache mounts are carried: a directory, or as buildx writes it `type=registry,ref=REF`. */
interface Place {
  readonly directory: string
  readonly registry?: Omit<CacheMountsTag, 'folder'>
}

function mountsPlace(text: string, environment: NodeJS.ProcessEnv): Place {
  if (!/^type=/.test(text)) return { directory: text }
  const pairs = csvPairs(text, 'tbuild cache')
  const type = takeValue(pairs, 'type')
  const insecure = takeFlag(pairs, 'registry.insecure', 'tbuild cache')
  const ref = takeValue(pairs, 'ref')
  if (type !== 'registry' || !ref || pairs.size > 0)
    throw usage(`not a place for cache mounts: ${text}`, 'give a directory, or type=registry,ref=REF')
  parseImageReference(ref)
  return { directory: '', registry: { ref, caller: new ThisMachine({ environment }), ...(insecure === undefined ? {} : { insecure }) } }
}

async function inTemporary<T>(store: Store, work: (folder: string) => Promise<T>): Promise<T> {
  const { removeTree } = await import('../../store/remove-tree.ts')
  const folder = store.temporary()
  try {
    return await work(folder)
  } finally {
    await removeTree(folder)
  }
}

function imported(ids: readonly string[], flags: CacheFlags): string {
  return report(
    'imported',
    ids.map((id) => ({ id })),
    flags,
  )
}

/** All, or those that were asked for; CACHE_MOUNT_MISSING for an id that is not there. */
function chosen(store: Store, { id: wanted }: CacheFlags): CacheMountEntry[] {
  const all = store.cacheMounts.list().sort((a, b) => (a.id < b.id ? -1 : 1))
  if (wanted.length === 0) return all
  const matches = (entry: CacheMountEntry, id: string) =>
    entry.id === id || (/^(?:sha256:)?[0-9a-f]{12,64}$/.test(id) && entry.key.startsWith(id.startsWith('sha256:') ? id : `sha256:${id}`))
  const missing = wanted.find((id) => !all.some((entry) => matches(entry, id)))
  if (missing !== undefined) {
    throw new TbuildError('CACHE_MOUNT_MISSING', `there is no cache mount ${missing}`, { hint: '`tbuild cache ls` lists them' })
  }
  return all.filter((entry) => wanted.some((id) => matches(entry, id)))
}

function list(entries: readonly CacheMountEntry[], flags: CacheFlags, sizes: readonly number[] | undefined): string {
  if (flags.format === 'json') {
    const rows = entries.map(({ id, key, scope, lastUsed, inUse, directories }, index) => {
      return { id, key, scope, lastUsed, inUse, directories: directories.length, ...(sizes === undefined ? {} : { size: sizes[index] }) }
    })
    return `${JSON.stringify(rows)}\n`
  }
  const rows = entries.map(({ id, key, lastUsed, inUse, directories }, index) => [
    id,
    key.slice(7, 19),
    ...(sizes === undefined ? [] : [humanSize(sizes[index] ?? 0)]),
    String(directories.length),
    inUse ? 'now' : ago(lastUsed, Date.now()),
  ])
  return table(['ID', 'KEY', ...(sizes === undefined ? [] : ['SIZE']), 'DIRECTORIES', 'LAST USED'], rows)
}

function report(verb: string, entries: readonly { readonly id: string }[], flags: CacheFlags): string {
  if (flags.format === 'json') return `${JSON.stringify(entries.map(({ id }) => id))}\n`
  return entries.map(({ id }) => `${verb} ${JSON.stringify(id)}\n`).join('')
}

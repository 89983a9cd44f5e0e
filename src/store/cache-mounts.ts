import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, renameSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, hexOf, parseDigest, sha256 } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import { idMap } from '../values/id-map.ts'
import { readSealed, sealJson, writeAtomicSync } from './atomic-file.ts'
import { type FileLock, tryFlock, waitFor } from './flock.ts'
import type { StoreLayout } from './layout.ts'
import type { Leases } from './leases.ts'
import type { Locks, WaitOptions } from './locks.ts'
import { removeTree } from './remove-tree.ts'
import { ifPresent, storeError } from './store-error.ts'

/**
 * The directories of RUN --mount=type=cache. One id has instances 0, 1, …: mounts/<hash>/<n>/ with its lock <n>.lock, held as long as a RUN uses it, `shared`
 * in common, `private` and `locked` alone. M7: shared joins the users of one directory, private takes an idle one or makes a new one, locked waits.
 * The choice is made under a lock of the id, since finding an instance idle and taking it are two system calls.
 */
export interface CacheMounts {
  acquire(request: CacheMountRequest, options?: WaitOptions): Promise<CacheMountUse>
  list(): CacheMountEntry[]
  /** What is wrong with its folder, for verification. */
  problem(key: Digest): string | undefined
  /** Its directories, that no private or locked RUN gets and gc leaves until `release`; undefined when a running build uses one of them. */
  hold(key: Digest): CacheMountContent | undefined
  /** Replaces it by directories that are filled one by one; false when a running build uses it. */
  restore(about: { id: string; scope: string }, fills: readonly ((directory: string) => Promise<void>)[]): Promise<boolean>
  /** False when a running build uses one of its directories: nothing was removed. */
  remove(key: Digest): Promise<boolean>
}

export interface CacheMountRequest {
  /** What the user calls it. */
  readonly id: string
  /** Everything that tells one cache from another besides the id (M5): the base's digest, mode, uid, gid. */
  readonly scope?: string
  readonly sharing: 'shared' | 'private' | 'locked'
  /** Only for a directory that is made now (M6). Default 0755, 0:0. */
  readonly mode?: number | undefined
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  /** Fills a directory that is made now, from `from=`. */
  readonly seed?: ((directory: string) => Promise<void>) | undefined
}

export interface CacheMountUse {
  readonly directory: string
  release(): void
}

export interface CacheMountContent {
  readonly id: string
  readonly scope: string
  readonly directories: readonly string[]
  release(): void
}

export interface CacheMountEntry {
  readonly key: Digest
  readonly id: string
  /** What tells it from others of the same id; '' for most. */
  readonly scope: string
  readonly directories: readonly string[]
  /** ISO time. */
  readonly lastUsed: string
  readonly inUse: boolean
}

function cacheMountKey(request: { id: string; scope?: string | undefined }): Digest {
  return sha256(JSON.stringify([request.id, request.scope ?? '']))
}

export function createCacheMounts(layout: StoreLayout, leases: Leases, locks: Locks): CacheMounts {
  const folderOf = (key: Digest) => join(layout.mounts, hexOf(parseDigest(key)))

  async function acquire(request: CacheMountRequest, options: WaitOptions = {}): Promise<CacheMountUse> {
    const key = cacheMountKey(request)
    const folder = folderOf(key)
    const { signal } = options
    const attempt = () => locks.withLock(`mount:${key}`, { mode: 'exclusive', signal }, () => choose(folder, request))
    try {
      let use = await attempt()
      // M7 `locked`: BuildKit polls every 100 ms.
      for (let pause = 5; use === undefined; pause = Math.min(pause * 1.5, 100)) {
        await new Promise((resolve) => setTimeout(resolve, pause))
        use = await attempt()
      }
      return use
    } catch (error) {
      throw storeError(error, `give the cache mount ${request.id}`)
    }
  }

  async function choose(folder: string, request: CacheMountRequest): Promise<CacheMountUse | undefined> {
    const numbers = instancesOf(folder)
    const taken = request.sharing === 'shared' ? joinOrTake(folder, numbers) : takeIdle(folder, numbers)
    if (taken !== undefined) return taken
    if (request.sharing === 'locked' && numbers.length > 0) return undefined
    const number = (numbers.at(-1) ?? -1) + 1
    await make(folder, number, request)
    return take(folder, number, request.sharing === 'shared' ? 'shared' : 'exclusive')
  }

  async function make(folder: string, number: number, request: CacheMountRequest): Promise<void> {
    const half = leases.temporary()
    mkdirSync(half, { mode: 0o700 })
    await request.seed?.(half)
    if (request.uid !== undefined || request.gid !== undefined) {
      const { uid, gid } = idMap().onDisk({ uid: request.uid ?? 0, gid: request.gid ?? 0 })
      chownSync(half, uid, gid)
    }
    if (request.seed === undefined || request.mode !== undefined) chmodSync(half, request.mode ?? 0o755)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    if (number === 0) writeInfo(folder, { id: request.id, scope: request.scope ?? '' })
    renameSync(half, join(folder, String(number)))
  }

  function hold(key: Digest): CacheMountContent | undefined {
    const { id, scope, directories, inUse } = entry(key)
    if (inUse) return undefined
    const held: FileLock[] = []
    const release = () => {
      for (const lock of held) lock.release()
    }
    for (const directory of directories) {
      const lock = tryFlock(`${directory}.lock`, 'shared')
      if (lock === undefined) {
        release()
        return undefined
      }
      held.push(lock)
    }
    return { id, scope, directories, release }
  }

  async function restore(about: { id: string; scope: string }, fills: readonly ((directory: string) => Promise<void>)[]): Promise<boolean> {
    const key = cacheMountKey(about)
    const half = leases.temporary()
    try {
      mkdirSync(half, { mode: 0o700 })
      writeInfo(half, about)
      for (const [number, fill] of fills.entries()) {
        mkdirSync(join(half, String(number)), { mode: 0o700 })
        await fill(join(half, String(number)))
      }
      const old = leases.temporary()
      const done = await locks.withLock(`mount:${key}`, { mode: 'exclusive' }, async () => {
        if (entry(key).inUse) return false
        ifPresent(() => renameSync(folderOf(key), old))
        renameSync(half, folderOf(key))
        return true
      })
      await removeTree(old)
      return done
    } catch (error) {
      throw storeError(error, `keep the cache mount ${about.id}`)
    } finally {
      await removeTree(half)
    }
  }

  function writeInfo(folder: string, { id, scope }: { id: string; scope: string }): void {
    const about = { id, scope, created: new Date().toISOString() }
    writeAtomicSync(leases.temporary(), join(folder, 'info.json'), sealJson(about), { durable: true })
  }

  function entry(key: Digest): CacheMountEntry {
    const folder = folderOf(key)
    const numbers = instancesOf(folder)
    const about = readSealed(join(folder, 'info.json')) as { id?: string; scope?: string } | undefined
    const used = numbers.map(
      (number) => ifPresent(() => statSync(lockFile(folder, number)).mtimeMs) ?? ifPresent(() => statSync(folder).mtimeMs) ?? 0,
    )
    return {
      key,
      id: about?.id ?? '(unknown)',
      scope: about?.scope ?? '',
      directories: numbers.map((number) => join(folder, String(number))),
      lastUsed: new Date(Math.max(0, ...used)).toISOString(),
      inUse: numbers.some((number) => isHeld(lockFile(folder, number))),
    }
  }

  function problem(key: Digest): string | undefined {
    const folder = folderOf(key)
    // Killed while it was made: the next RUN goes on.
    if (instancesOf(folder).length === 0) return undefined
    const about = readSealed(join(folder, 'info.json')) as { id?: unknown; scope?: string } | undefined
    if (typeof about?.id !== 'string') return 'what is known of it is torn'
    if (cacheMountKey({ id: about.id, scope: about.scope }) !== key) return 'it lies where another cache mount belongs'
    const foreign = readdirSync(folder).find((name) => !/^(?:info\.json|\d{1,6}(?:\.lock)?)$/.test(name))
    return foreign === undefined ? undefined : `it holds ${JSON.stringify(foreign)}, which is no directory of it`
  }

  return {
    acquire,
    problem,
    hold,
    restore,
    list: () =>
      readdirSync(layout.mounts)
        .filter((name) => /^[0-9a-f]{64}$/.test(name))
        .map((hex) => entry(`sha256:${hex}` as Digest))
        .filter(({ directories }) => directories.length > 0),
    async remove(key) {
      const away = await locks.withLock(`mount:${key}`, { mode: 'exclusive' }, async () => {
        if (entry(key).inUse) return undefined
        const to = leases.temporary()
        ifPresent(() => renameSync(folderOf(key), to))
        return to
      })
      if (away === undefined) return false
      const [failure] = await removeTree(away)
      if (failure !== undefined) {
        throw new TbuildError('STORE_IO', `the cache mount cannot be removed: ${failure.message}`, { cause: failure })
      }
      return true
    },
  }
}

/** The same, where each cache begins empty once. One that another build uses stays as it is. */
export function resettingCacheMounts(mounts: CacheMounts, onNotice: (message: string) => void): CacheMounts {
  const reset = new Map<Digest, Promise<void>>()
  const empty = async (key: Digest, id: string) => {
    if (!(await mounts.remove(key))) onNotice(`the cache mount ${id} is kept: another build uses it`)
  }
  return {
    ...mounts,
    async acquire(request, options) {
      const key = cacheMountKey(request)
      const done = reset.get(key) ?? empty(key, request.id)
      reset.set(key, done)
      await done
      return mounts.acquire(request, options)
    },
  }
}

const lockFile = (folder: string, number: number) => join(folder, `${number}.lock`)

function instancesOf(folder: string): number[] {
  const names = ifPresent(() => readdirSync(folder)) ?? []
  const numbers = names.filter((name) => /^\d{1,6}$/.test(name) && lstatSync(join(folder, name)).isDirectory()).map(Number)
  return numbers.sort((a, b) => a - b)
}

function isHeld(path: string): boolean {
  if (ifPresent(() => statSync(path)) === undefined) return false
  const lock = tryFlock(path, 'exclusive', { create: false })
  lock?.release()
  return lock === undefined
}

function use(folder: string, number: number, lock: FileLock): CacheMountUse {
  const now = Date.now() / 1000
  utimesSync(lockFile(folder, number), now, now)
  return { directory: join(folder, String(number)), release: () => lock.release() }
}

async function take(folder: string, number: number, mode: 'shared' | 'exclusive'): Promise<CacheMountUse> {
  return use(folder, number, await waitFor(() => tryFlock(lockFile(folder, number), mode)))
}

function takeIdle(folder: string, numbers: readonly number[]): CacheMountUse | undefined {
  for (const number of numbers) {
    const lock = tryFlock(lockFile(folder, number), 'exclusive')
    if (lock !== undefined) return use(folder, number, lock)
  }
  return undefined
}

/** One that others share comes before an idle one, so that all who share are in one directory. */
function joinOrTake(folder: string, numbers: readonly number[]): CacheMountUse | undefined {
  const inUse = numbers.filter((number) => isHeld(lockFile(folder, number)))
  for (const number of [...inUse, ...numbers]) {
    const lock = tryFlock(lockFile(folder, number), 'shared')
    if (lock !== undefined) return use(folder, number, lock)
  }
  return undefined
}

import { join } from 'node:path'
import { sha256Hex } from '../base/digest.ts'
import { unlessAborted } from '../base/unless-aborted.ts'
import { canceled, type FileLock, type LockMode, tryFlock, waitFor } from './flock.ts'
import { storeError } from './store-error.ts'

/** What a wait for a lock takes. */
export interface WaitOptions {
  readonly signal?: AbortSignal | undefined
}

/** Named locks between all processes of a store, and between the callers of one process. The dead hold none. */
export interface Locks {
  withLock<T>(name: string, options: WaitOptions & { mode: LockMode }, run: () => Promise<T>): Promise<T>
  /** Undefined when it is held elsewhere. The caller releases it. */
  tryLock(name: string, mode: LockMode): { release(): void } | undefined
  /**
   * `find()`'s value, or `run()`'s, where of all callers with the same key on this store one runs at a time: the others wait, and then find what it
   * made. When the runner fails, is canceled or dies, a waiting one takes over. A caller whose own `run` fails gets its error.
   */
  singleFlight<T>(key: string, find: () => Promise<T | undefined>, run: () => Promise<T>, options?: WaitOptions): Promise<T>
}

export function createLocks(folder: string): Locks {
  /** Callers of one process queue here: they are woken at once, in order, and only the first polls the file. */
  const queues = new Map<string, Promise<void>>()
  // Names can hold anything and be long.
  const fileOf = (name: string) => join(folder, sha256Hex(name).slice(0, 40))

  function tryLock(name: string, mode: LockMode): FileLock | undefined {
    try {
      return tryFlock(fileOf(name), mode)
    } catch (error) {
      throw storeError(error, 'take a lock')
    }
  }

  async function withLock<T>(name: string, options: WaitOptions & { mode: LockMode }, run: () => Promise<T>): Promise<T> {
    if (options.mode === 'exclusive') return await inTurn(name, options, () => locked(name, options, run))
    return await locked(name, options, run)
  }

  async function locked<T>(name: string, options: WaitOptions & { mode: LockMode }, run: () => Promise<T>): Promise<T> {
    const lock = await waitFor(() => tryLock(name, options.mode), { ...options, path: fileOf(name) })
    try {
      return await run()
    } finally {
      // Keys of steps are many: an exclusive holder leaves no file behind.
      lock.release({ remove: options.mode === 'exclusive' })
    }
  }

  async function inTurn<T>(name: string, options: WaitOptions, run: () => Promise<T>): Promise<T> {
    const before = queues.get(name)
    let leave = () => {}
    const mine = new Promise<void>((resolve) => {
      leave = resolve
    })
    const tail = (before ?? Promise.resolve()).then(() => mine)
    queues.set(name, tail)
    try {
      // A turn never rejects: the signal ended the wait.
      if (before !== undefined) await unlessAborted(before, options.signal).catch((reason: unknown) => Promise.reject(canceled(reason)))
      return await run()
    } finally {
      leave()
      if (queues.get(name) === tail) queues.delete(name)
    }
  }

  return {
    withLock,
    tryLock,
    singleFlight: (key, find, run, options = {}) =>
      withLock(`flight:${key}`, { ...options, mode: 'exclusive' }, async () => (await find()) ?? (await run())),
  }
}

import { closeSync, constants, fstatSync, openSync, statSync, unlinkSync, watch } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorCode, TbuildError } from '../base/errors.ts'
import { sys } from '../base/sys.ts'
import { LOCK_EX, LOCK_NB, LOCK_SH } from '../base/sys-constants.ts'
import { ifPresent } from './store-error.ts'

/**
 * flock(2) on files that may be unlinked by their holder. A lock belongs to an open file, so it dies with its process, whatever kills it, and is
 * never taken over by a child (Node opens with O_CLOEXEC).
 */

export type LockMode = 'shared' | 'exclusive'

export interface FileLock {
  readonly fd: number
  /** `remove` unlinks the file first; only an exclusive holder may. */
  release(options?: { remove?: boolean }): void
}

/** Undefined when it is held elsewhere, in this process or another one. With `create: false` also when there is no such file. */
export function tryFlock(path: string, mode: LockMode, options: { create?: boolean } = {}): FileLock | undefined {
  const flags = constants.O_RDWR | constants.O_APPEND | (options.create === false ? 0 : constants.O_CREAT)
  const open = () => openSync(path, flags, 0o600)
  return tryOpened(path, mode, options.create === false ? () => ifPresent(open) : open)
}

/** As flock(2) and NFS say that there are no locks, or none on directories. */
const NO_LOCKS: ReadonlySet<unknown> = new Set(['EBADF', 'EINVAL', 'ENOLCK', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'])

/**
 * Exclusive, on a directory that is not the store's; undefined when it is held elsewhere. A file system without locks is no reason to refuse its directories:
 * there the lock is held by everybody.
 */
export function tryFlockDirectory(path: string): FileLock | undefined {
  try {
    return tryOpened(path, 'exclusive', () => openSync(path, constants.O_RDONLY | constants.O_DIRECTORY))
  } catch (error) {
    if (!NO_LOCKS.has(errorCode(error))) throw error
    return { fd: -1, release() {} }
  }
}

function tryOpened(path: string, mode: LockMode, open: () => number | undefined): FileLock | undefined {
  for (;;) {
    const fd = open()
    if (fd === undefined) return undefined
    let keep = false
    try {
      if (!sys().flock(fd, (mode === 'shared' ? LOCK_SH : LOCK_EX) | LOCK_NB)) return undefined
      keep = isAt(fd, path)
    } finally {
      if (!keep) closeSync(fd)
    }
    // The former holder unlinked the file between our open and our lock: this lock guards nothing.
    if (keep) return heldLock(fd, path)
  }
}

function isAt(fd: number, path: string): boolean {
  const there = ifPresent(() => statSync(path))
  return there !== undefined && there.ino === fstatSync(fd).ino
}

function heldLock(fd: number, path: string): FileLock {
  let open = true
  return {
    fd,
    release({ remove = false } = {}) {
      if (!open) return
      open = false
      try {
        if (remove) unlinkSync(path)
      } catch {
        // The file is only litter: the work that it guarded is done, and the next holder removes it.
      }
      closeSync(fd)
    },
  }
}

export function canceled(cause: unknown): TbuildError {
  return new TbuildError('CANCELED', 'canceled while waiting for another build', { exitCode: 130, cause })
}

/**
 * Waits by polling, 5 ms growing to 100 ms: a blocking flock would hold the only thread. `signal` ends the wait (CANCELED). `path`: of a file whose holder
 * removes it when it is done, which ends a pause; a dead one removes nothing.
 */
export async function waitFor<T>(
  attempt: () => T | undefined,
  options: { signal?: AbortSignal | undefined; path?: string } = {},
): Promise<T> {
  let pause = 5
  for (;;) {
    if (options.signal?.aborted) throw canceled(options.signal.reason)
    const value = attempt()
    if (value !== undefined) return value
    await (options.path === undefined ? sleep(pause) : untilGone(options.path, pause))
    pause = Math.min(pause * 1.5, 100)
  }
}

/** Until a file is removed, no longer than `pause` ms. */
async function untilGone(path: string, pause: number): Promise<void> {
  const over = new AbortController()
  const end = () => over.abort()
  try {
    watch(path, { signal: over.signal }, end).on('error', end)
  } catch (error) {
    // Gone already. Otherwise the machine watches no more files.
    if (errorCode(error) === 'ENOENT') return
  }
  await sleep(pause, undefined, { signal: over.signal }).catch(() => {})
  end()
}

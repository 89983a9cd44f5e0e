import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode } from '../base/errors.ts'

/** Milliseconds between two looks, at least; a look that takes long is rarer. */
const PAUSE = 500
const RESTS = 10

/** What folders may hold: bytes on disk, and files and directories. */
export interface Room {
  readonly bytes: number
  readonly entries: number
}

/**
 * Looks at what grows in `folders` while `work` goes on, and once more at its end. `over` makes the error for what there is too much of, which ends the
 * work by its signal. A program that writes by itself (git) can be capped in no other way: what it unpacks is many times what it fetches.
 */
export async function withinSize<T>(
  folders: readonly string[],
  room: Room,
  signal: AbortSignal | undefined,
  over: (what: keyof Room) => Error,
  work: (signal: AbortSignal, check: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const ended = new AbortController()
  const both = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal])
  const check = async () => {
    const what = await excess(folders, room, both)
    if (what !== undefined) ended.abort(over(what))
    // Also when another look found it.
    ended.signal.throwIfAborted()
  }
  let timer: NodeJS.Timeout | undefined
  const watch = () => {
    const begun = Date.now()
    check()
      .then(() => {
        if (!both.aborted) timer = setTimeout(watch, Math.max(PAUSE, (Date.now() - begun) * RESTS)).unref()
      })
      // What cannot be looked at may grow unseen: that ends the work, too. The work says it, whose signal it is.
      .catch((error: unknown) => ended.abort(error))
  }
  timer = setTimeout(watch, PAUSE).unref()
  const stop = () => clearTimeout(timer)
  both.addEventListener('abort', stop, { once: true })
  try {
    const result = await work(both, check)
    await check()
    return result
  } finally {
    // After this no look begins, and one under way ends by itself.
    ended.abort()
  }
}

/** What there is too much of; undefined when all is within its limit. */
async function excess(folders: readonly string[], room: Room, signal: AbortSignal): Promise<keyof Room | undefined> {
  let bytes = 0
  let entries = 0
  const open = folders.map((folder) => Buffer.from(folder))
  for (let folder = open.pop(); folder !== undefined; folder = open.pop()) {
    for (const entry of (await ifThere(readdir(folder, { withFileTypes: true, encoding: 'buffer' }))) ?? []) {
      if (signal.aborted) return undefined
      const path = Buffer.from(join(folder.toString('latin1'), entry.name.toString('latin1')), 'latin1')
      if (entry.isDirectory()) open.push(path)
      else bytes += (await ifThere(lstat(path)))?.size ?? 0
      entries += 1
      if (bytes > room.bytes) return 'bytes'
      if (entries > room.entries) return 'entries'
    }
  }
  return undefined
}

/** git makes and removes files while we look. */
async function ifThere<T>(value: Promise<T>): Promise<T | undefined> {
  try {
    return await value
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
    throw error
  }
}

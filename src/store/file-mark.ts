import { type BigIntStats, closeSync, fstatSync, futimesSync, lstatSync } from 'node:fs'
import type { FileMark } from '../caller/caller.ts'
import { bootMark } from './durability.ts'
import { openRegularSync } from './regular-file.ts'

/** Milliseconds that the time of a file is put back at random. */
const SPREAD = 1

/**
 * What a file looks like from outside. Whoever writes to it, or to its inode, changes a time of it; and no write in the same tick of the clock leaves the times
 * as they are, since its mtime was no tick's. The page cache may be lost with the power, so a mark is good for one boot.
 */
function markOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): FileMark {
  return [bootMark().replaceAll(' ', '_'), dev, ino, size, mtimeNs, ctimeNs].join('.')
}

/** Gives a file the time of now, but for a random part of a millisecond. */
function touch(fd: number): bigint {
  const microseconds = Math.floor((Date.now() - Math.random() * SPREAD) * 1000)
  futimesSync(fd, microseconds / 1e6, microseconds / 1e6)
  return BigInt(microseconds) * 1000n
}

/** Undefined where the file system does not keep such times, or somebody has written to the file since. */
function markTouched(fd: number, touched: bigint): FileMark | undefined {
  const stat = fstatSync(fd, { bigint: true })
  const difference = stat.mtimeNs - touched
  // Node gives the kernel microseconds, and rounds them.
  const isKept = difference >= -1000n && difference <= 1000n && stat.mtimeNs % 1_000_000n !== 0n && stat.mtimeNs !== stat.ctimeNs
  return isKept ? markOf(stat) : undefined
}

/** Undefined when it may not be, or cannot be found. */
function attempt<T>(run: () => T): T | undefined {
  try {
    return run()
  } catch {
    return undefined
  }
}

/** Marks a file that is whole and that `publish` gives its name; undefined when it could not be told from a changed one. Rejects as `publish` does. */
export async function markWritten(temporary: string, publish: () => Promise<void>): Promise<FileMark | undefined> {
  const fd = attempt(() => openRegularSync(temporary))
  try {
    const touched = fd === undefined ? undefined : attempt(() => touch(fd))
    await publish()
    return fd === undefined || touched === undefined ? undefined : markTouched(fd, touched)
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

/** The new mark of a file that bears `mark` still, and has the time of now from then on; undefined for any other file, and for what is none. */
export function renewMark(path: string, mark: FileMark): FileMark | undefined {
  const fd = attempt(() => openRegularSync(path))
  if (fd === undefined) return undefined
  try {
    if (markOf(fstatSync(fd, { bigint: true })) !== mark) return undefined
    const renewed = markTouched(fd, touch(fd))
    const [opened, there] = [fstatSync(fd, { bigint: true }), lstatSync(path, { bigint: true })]
    return opened.ino === there.ino && opened.dev === there.dev ? renewed : undefined
  } catch {
    // It is another user's, or gone.
    return undefined
  } finally {
    closeSync(fd)
  }
}

import type { BigIntStats } from 'node:fs'
import { type FileHandle, lstat } from 'node:fs/promises'
import type { FileMark } from '../caller/caller.ts'
import { bootMark } from './durability.ts'
import { openRegular } from './regular-file.ts'

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
async function touch(file: FileHandle): Promise<bigint> {
  const microseconds = Math.floor((Date.now() - Math.random() * SPREAD) * 1000)
  await file.utimes(microseconds / 1e6, microseconds / 1e6)
  return BigInt(microseconds) * 1000n
}

/** Undefined where the file system does not keep such times, or somebody has written to the file since. */
async function markTouched(file: FileHandle, touched: bigint): Promise<FileMark | undefined> {
  const stat = await file.stat({ bigint: true })
  const difference = stat.mtimeNs - touched
  // Node gives the kernel microseconds, and rounds them.
  const isKept = difference >= -1000n && difference <= 1000n && stat.mtimeNs % 1_000_000n !== 0n && stat.mtimeNs !== stat.ctimeNs
  return isKept ? markOf(stat) : undefined
}

/** Marks a file that is whole and that `publish` gives its name; undefined when it could not be told from a changed one. Rejects as `publish` does. */
export async function markWritten(temporary: string, publish: () => Promise<void>): Promise<FileMark | undefined> {
  const file = await openRegular(temporary).catch(() => undefined)
  try {
    const touched = file === undefined ? undefined : await touch(file).catch(() => undefined)
    await publish()
    return file === undefined || touched === undefined ? undefined : await markTouched(file, touched)
  } finally {
    await file?.close()
  }
}

/** The new mark of a file that bears `mark` still, and has the time of now from then on; undefined for any other file, and for what is none. */
export async function renewMark(path: string, mark: FileMark): Promise<FileMark | undefined> {
  const file = await openRegular(path).catch(() => undefined)
  if (file === undefined) return undefined
  try {
    if (markOf(await file.stat({ bigint: true })) !== mark) return undefined
    const renewed = await markTouched(file, await touch(file))
    const [opened, there] = [await file.stat({ bigint: true }), await lstat(path, { bigint: true })]
    return opened.ino === there.ino && opened.dev === there.dev ? renewed : undefined
  } catch {
    // It is another user's, or gone.
    return undefined
  } finally {
    await file.close()
  }
}

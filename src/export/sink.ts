import { randomBytes } from 'node:crypto'
import { open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { errorCode, TbuildError } from '../base/errors.ts'
import type { Bytes } from '../store/types.ts'

/** Where a single stream goes: a path, or a function that receives the bytes (dest `-`). */
export type Sink = string | ((data: Uint8Array) => Promise<void>)

export async function writeSink(sink: Sink, bytes: Bytes): Promise<void> {
  if (typeof sink === 'string') await writeFileAtomically(sink, bytes)
  else for await (const chunk of bytes) await sink(chunk)
}

/**
 * Whole or not at all when a process dies: a temporary file beside the target, then a rename. Not synced: an export can be made again, and a sync of hundreds of
 * megabytes takes longer than writing them. A target that is there and is no regular file (a fifo, /dev/stdout) is written to
 * as it is.
 */
export async function writeFileAtomically(path: string, bytes: Bytes | Iterable<Uint8Array>): Promise<void> {
  const target = await stat(path).catch(() => undefined)
  if (target?.isDirectory()) throw new TbuildError('EXPORT_DEST_DIRECTORY', `${path} is a directory and a file is to be written`)
  if (target !== undefined && !target.isFile()) return writeAll(path, 'w', bytes)
  const temporary = join(dirname(path), `.${basename(path).slice(0, 100)}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    await writeAll(temporary, 'wx', bytes)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    if (errorCode(error) === 'ENOENT')
      throw new TbuildError('EXPORT_DEST_MISSING', `the folder of ${path} does not exist`, { cause: error })
    throw error
  }
}

async function writeAll(path: string, flags: 'w' | 'wx', bytes: Bytes | Iterable<Uint8Array>): Promise<void> {
  const file = await open(path, flags, 0o644)
  try {
    for await (const chunk of bytes) await writeChunk(file, chunk)
  } finally {
    await file.close()
  }
}

/** write(2) may take less than it was given, a pipe does. */
async function writeChunk(file: Awaited<ReturnType<typeof open>>, chunk: Uint8Array): Promise<void> {
  for (let done = 0; done < chunk.length; ) done += (await file.write(chunk, done, chunk.length - done)).bytesWritten
}

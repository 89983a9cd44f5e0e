import { write } from 'node:fs'
import { promisify } from 'node:util'
import { sys } from '../base/sys.ts'
import { AT_EMPTY_PATH } from '../base/sys-constants.ts'
import type { TimeSlice } from '../base/time-slice.ts'

/** Bytes in one call: some milliseconds on a slow disk. */
const STEP = 16 * 1024 * 1024

/** All bytes of an open file into a new one; holes and reflinks where the file system can. */
export async function copyContent(from: number, to: number, slice: TimeSlice): Promise<void> {
  let offset = sys().copyFile(from, to, 0, STEP)
  if (offset < STEP) return
  const { size } = sys().statat(from, '', AT_EMPTY_PATH)
  while (offset < size) {
    await slice.yield()
    offset = sys().copyFile(from, to, offset, STEP)
  }
}

const writeSome = promisify(write)

/** All of a chunk at the end of what was written, on another thread. */
export async function writeContent(fd: number, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length; ) at += (await writeSome(fd, chunk, at)).bytesWritten
}

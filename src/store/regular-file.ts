import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { errorCode } from '../base/errors.ts'

/**
 * Opens a file of a folder that others write, for reading. Undefined for all but a regular file: a planted link or fifo is neither followed nor waited for
 * (go-containerregistry 7f937fe5).
 */
export async function openRegular(path: string): Promise<FileHandle | undefined> {
  let file: FileHandle
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    // A link, and a socket.
    if (errorCode(error) === 'ELOOP' || errorCode(error) === 'ENXIO') return undefined
    throw error
  }
  if ((await file.stat()).isFile()) return file
  await file.close()
  return undefined
}

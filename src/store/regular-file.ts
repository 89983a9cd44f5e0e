import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { errorCode } from '../base/errors.ts'

/**
 * Opens a file of a folder that others write, for reading. Undefined for all but a regular file: a planted link or fifo is neither followed nor waited for
 * (go-containerregistry 7f937fe5).
 */
export async function openRegular(path: string): Promise<FileHandle | undefined> {
  let file: FileHandle
  try {
    file = await open(path, AS_IT_IS)
  } catch (error) {
    if (isNoFile(error)) return undefined
    throw error
  }
  if ((await file.stat()).isFile()) return file
  await file.close()
  return undefined
}

/** The same at once, as a descriptor: for what is a few calls, which threads and a module of Node's would take longer to begin than to make. */
export function openRegularSync(path: string): number | undefined {
  let fd: number
  try {
    fd = openSync(path, AS_IT_IS)
  } catch (error) {
    if (isNoFile(error)) return undefined
    throw error
  }
  if (fstatSync(fd).isFile()) return fd
  closeSync(fd)
  return undefined
}

const AS_IT_IS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** A link, and a socket. */
const isNoFile = (error: unknown) => errorCode(error) === 'ELOOP' || errorCode(error) === 'ENXIO'

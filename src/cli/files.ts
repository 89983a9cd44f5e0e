import { lstat, rename, rm, stat, unlink, writeFile } from 'node:fs/promises'
import { destinationError, systemWords } from '../base/destination-error.ts'
import { errorCode, isTbuildError, TbuildError } from '../base/errors.ts'

/** Writes a result file whole or not at all: beside its name, then renamed. What is no file (/dev/stdout, a fifo) is written to as it is. */
export async function writeAtomically(path: string, data: string): Promise<void> {
  const target = await stat(path).catch(() => undefined)
  if (target !== undefined && !target.isFile() && !target.isDirectory()) {
    return writeFile(path, data).catch((cause: unknown) => Promise.reject(cannotWrite(path, cause)))
  }
  const temporary = `${path}.tbuild-${process.pid}`
  try {
    await writeFile(temporary, data, { mode: 0o644 })
    await rename(temporary, path)
  } catch (cause) {
    await rm(temporary, { force: true })
    throw cannotWrite(path, cause)
  }
}

/** Of an earlier run: nobody takes it for the result of one that fails. A device or a fifo is none. */
export async function removeResult(path: string): Promise<void> {
  try {
    const found = await lstat(path)
    if (found.isFile() || found.isSymbolicLink()) await unlink(path)
  } catch (cause) {
    if (errorCode(cause) !== 'ENOENT') throw cannotWrite(path, cause)
  }
}

function cannotWrite(path: string, cause: unknown): TbuildError {
  const known = destinationError(cause, path)
  return isTbuildError(known) ? known : new TbuildError('OUTPUT_WRITE', `cannot write ${path}: ${systemWords(cause as Error)}`, { cause })
}

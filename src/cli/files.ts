import { lstat, unlink } from 'node:fs/promises'
import { destinationError, systemWords } from '../base/destination-error.ts'
import { errorCode, isTbuildError, TbuildError } from '../base/errors.ts'
import { filled } from '../caller/sinks.ts'
import { fileSink } from '../store/file-sink.ts'

/** Writes a result file whole or not at all, as an output is. Errors: those of `fileSink`. */
export async function writeResult(path: string, data: string): Promise<void> {
  try {
    await filled(fileSink(path), (sink) => sink.write(Buffer.from(data)))
  } catch (cause) {
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

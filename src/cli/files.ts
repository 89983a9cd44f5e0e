import { rename, rm, unlink, writeFile } from 'node:fs/promises'
import { errorCode, TbuildError } from '../base/errors.ts'

/** Writes a result file whole or not at all: beside its name, then renamed. */
export async function writeAtomically(path: string, data: string): Promise<void> {
  const temporary = `${path}.tbuild-${process.pid}`
  try {
    await writeFile(temporary, data, { mode: 0o644 })
    await rename(temporary, path)
  } catch (cause) {
    await rm(temporary, { force: true })
    throw cannotWrite(path, cause)
  }
}

/** Of an earlier run: nobody takes it for the result of one that fails. */
export async function removeResult(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (cause) {
    if (errorCode(cause) !== 'ENOENT') throw cannotWrite(path, cause)
  }
}

function cannotWrite(path: string, cause: unknown): TbuildError {
  return new TbuildError('OUTPUT_WRITE', `cannot write ${path}: ${(cause as Error).message}`, { cause })
}

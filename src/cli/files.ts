import { rename, rm, writeFile } from 'node:fs/promises'
import { TbuildError } from '../base/errors.ts'

/** Writes a result file whole or not at all: beside its name, then renamed. */
export async function writeAtomically(path: string, data: string): Promise<void> {
  const temporary = `${path}.tbuild-${process.pid}`
  try {
    await writeFile(temporary, data, { mode: 0o644 })
    await rename(temporary, path)
  } catch (cause) {
    await rm(temporary, { force: true })
    throw new TbuildError('OUTPUT_WRITE', `cannot write ${path}: ${(cause as Error).message}`, { cause })
  }
}

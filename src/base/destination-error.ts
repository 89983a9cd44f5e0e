import { constants } from 'node:os'
import { getSystemErrorMap } from 'node:util'
import { isTbuildError, TbuildError } from './errors.ts'

const { ENOSPC, EDQUOT, EROFS, EFBIG } = constants.errno

/** They come from nothing but writing; what the store is refused is told as the store's before it comes here. */
const WRITING: readonly number[] = [ENOSPC, EDQUOT, EROFS, EFBIG]

/**
 * What the operating system refused while `path`, which the caller named, was written: OUTPUT_WRITE with the path and what to mend. Other errors are unchanged.
 */
export function destinationError(error: unknown, path: string): unknown {
  const cause = isTbuildError(error) && error.code === 'SYSTEM' ? error.cause : error
  const { errno, path: at } = (cause ?? {}) as { errno?: unknown; path?: unknown }
  if (isTbuildError(cause) || typeof errno !== 'number') return error
  if (!WRITING.includes(-errno) && !(typeof at === 'string' && at.startsWith(path))) return error
  return new TbuildError('OUTPUT_WRITE', `cannot write ${path}: ${systemWords(cause as Error)}`, { hint: hintFor(-errno, path), cause })
}

/** `no space left on device` of an error of the operating system; the message of another one. */
export function systemWords(error: Error): string {
  return getSystemErrorMap().get((error as NodeJS.ErrnoException).errno ?? 0)?.[1] ?? error.message
}

function hintFor(errno: number, path: string): string {
  if (errno === ENOSPC || errno === EDQUOT)
    return `free space on the file system of ${path} (it is not the store that is full), or name another place`
  return 'name a place that can be written'
}

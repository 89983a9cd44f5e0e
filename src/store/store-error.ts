import { errorCode, isTbuildError, TbuildError } from '../base/errors.ts'

const CAUSES: Record<string, { code: string; what: string; hint: string }> = {
  ENOSPC: { code: 'STORE_FULL', what: 'no space is left', hint: 'free space on the file system of the store, or give another --root' },
  EDQUOT: { code: 'STORE_FULL', what: 'the disk quota is used up', hint: 'free space in the store, or give another --root' },
  EROFS: { code: 'STORE_READONLY', what: 'the file system is read-only', hint: 'mount it writable, or give another --root' },
  EACCES: { code: 'STORE_READONLY', what: 'permission is denied', hint: 'make the store writable for its owner, or give another --root' },
  EPERM: {
    code: 'STORE_READONLY',
    what: 'the operation is not permitted',
    hint: 'make the store writable for its owner, or give another --root',
  },
  EIO: { code: 'STORE_IO', what: 'the device reports an error', hint: 'check the disk; then run the build again' },
  EMFILE: { code: 'STORE_IO', what: 'too many files are open', hint: 'raise `ulimit -n`' },
}

/** What the operating system refused, as an error that says what to mend. Errors that are ours already pass unchanged. */
export function storeError(error: unknown, doing: string): unknown {
  if (isTbuildError(error)) return error
  const code = errorCode(error)
  if (code === undefined) return error
  const known = CAUSES[code]
  return new TbuildError(known?.code ?? 'STORE_IO', `the store cannot ${doing}: ${known?.what ?? (error as Error).message}`, {
    hint: known?.hint ?? 'run `tbuild verify-store`',
    cause: error,
  })
}

/** `read()`, or undefined when the file is not there. */
export function ifPresent<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}

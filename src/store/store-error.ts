import { constants } from 'node:os'
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
  const code = systemCode(error)
  if (code === undefined) return error
  const known = CAUSES[code]
  return new TbuildError(known?.code ?? 'STORE_IO', `the store cannot ${doing}: ${known?.what ?? (error as Error).message}`, {
    hint: known?.hint ?? 'run `tbuild verify-store`',
    cause: error,
  })
}

/** System calls that change files. What they refuse is the store's doing: a build writes nowhere else. */
const WRITES =
  /^(?:write|pwrite|writev|mkdir|mkdirat|mkdtemp|symlink|symlinkat|link|linkat|mknodat|rename|renameat2|unlink|unlinkat|rmdir|ftruncate|fsync|fdatasync|syncfs|flock|copy_file_range|f?chmod|fchmodat|[fl]?chown|fchownat|utimes?|futimes?|utimensat|[fl]?setxattr|[fl]?removexattr)$/
/** They come from nothing but writing. */
const FULL = ['ENOSPC', 'EDQUOT', 'EROFS']

/** An error within the making of a layer: of the store when it comes from writing, unchanged when it may come from reading a context or an archive. */
export function layerError(error: unknown): unknown {
  const call = (error as { syscall?: unknown } | null | undefined)?.syscall
  const writes = FULL.includes(systemCode(error) ?? '') || (typeof call === 'string' && WRITES.test(call))
  return writes ? storeError(error, 'write a layer') : error
}

/** libuv has no name for EDQUOT before version 1.49. */
function systemCode(error: unknown): string | undefined {
  const code = errorCode(error)
  return code === 'UNKNOWN' && (error as { errno?: unknown }).errno === -constants.errno.EDQUOT ? 'EDQUOT' : code
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

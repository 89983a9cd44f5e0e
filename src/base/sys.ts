import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { TbuildError } from './errors.ts'

/**
 * The system calls that Node lacks, from `runner/sys.c` (a Node-API addon built with the runner). The only file that loads native code.
 *
 * Paths are bytes: a Buffer is passed as it is, a string as UTF-8. `dirfd` is an open directory or AT_FDCWD. Errors are Error objects with
 * `code` ('ENOENT'), `errno` (negative, as in Node) and `syscall`. All calls are synchronous.
 */
export interface Sys {
  openat(dirfd: number, path: Name, flags: number, mode: number): number
  /** openat2(2) with a RESOLVE_* mask; the kernel does the in-root resolution. */
  openat2(dirfd: number, path: Name, flags: number, mode: number, resolve: number): number
  close(fd: number): void
  /** fstatat(2) with AT_SYMLINK_NOFOLLOW unless `flags` says otherwise; '' with AT_EMPTY_PATH stats dirfd itself. */
  statat(dirfd: number, path: Name, flags: number): SysStat
  /** Names and d_type of an open directory, without . and .., in the order of the file system. */
  readdir(fd: number): { name: Buffer; type: number }[]
  readlinkat(dirfd: number, path: Name): Buffer
  mkdirat(dirfd: number, path: Name, mode: number): void
  mknodat(dirfd: number, path: Name, mode: number, major: number, minor: number): void
  symlinkat(target: Name, dirfd: number, path: Name): void
  linkat(fromfd: number, from: Name, tofd: number, to: Name, flags: number): void
  unlinkat(dirfd: number, path: Name, flags: number): void
  /** renameat2(2); RENAME_NOREPLACE and RENAME_EXCHANGE work. */
  renameat(fromfd: number, from: Name, tofd: number, to: Name, flags: number): void
  /** Never follows a symlink. */
  chownat(dirfd: number, path: Name, uid: number, gid: number): void
  fchmod(fd: number, mode: number): void
  /** For anything but symlinks. */
  chmodat(dirfd: number, path: Name, mode: number): void
  /** Whole seconds and nanoseconds; atime and mtime are both set; never follows a symlink. */
  utimesat(dirfd: number, path: Name, seconds: number, nanoseconds: number): void
  /** Extended attributes of dirfd/path itself, never of a symlink's target. */
  listxattrat(dirfd: number, path: Name): Buffer[]
  getxattrat(dirfd: number, path: Name, name: Name): Buffer | null
  setxattrat(dirfd: number, path: Name, name: Name, value: Uint8Array): void
  removexattrat(dirfd: number, path: Name, name: Name): void
  /** Copies all bytes from one open file to another (copy_file_range, falling back to read and write); returns the count. */
  copyFile(fromfd: number, tofd: number): number
  /** flock(2) on an open file; false when LOCK_NB is set and it is held elsewhere. */
  flock(fd: number, operation: number): boolean
  fsync(fd: number): void
  syncfs(fd: number): void
  umask(mask: number): number
}

export type Name = Uint8Array | string

export interface SysStat {
  dev: number
  ino: number
  mode: number
  nlink: number
  uid: number
  gid: number
  rdevMajor: number
  rdevMinor: number
  size: number
  mtimeSeconds: number
  mtimeNanoseconds: number
  ctimeSeconds: number
  ctimeNanoseconds: number
}

let loaded: Sys | undefined

/** The folder that `npm ci` builds the native parts into. */
export function nativeFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder)
    if (parent === folder) break
    folder = parent
  }
  return join(folder, 'build')
}

/** Loads the addon on first use. */
export function sys(): Sys {
  if (loaded === undefined) {
    const file = join(nativeFolder(), 'sys.node')
    try {
      // dlopen and not require: a test runner's module registry cannot load native files in every mode.
      const module = { exports: {} }
      process.dlopen(module, file)
      loaded = module.exports as Sys
    } catch (cause) {
      throw new TbuildError('NATIVE_MISSING', `the native part ${file} cannot be loaded: ${(cause as Error).message}`, {
        hint: 'run `node scripts/setup.mjs` in the folder of tbuild; it needs a C compiler (Debian: gcc, libc6-dev)',
        cause,
      })
    }
  }
  return loaded
}

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { TbuildError } from './errors.ts'
import { AT_SYMLINK_NOFOLLOW } from './sys-constants.ts'
import {
  copyFields,
  entriesOf,
  foundStat,
  type Name,
  type NewFile,
  namesOf,
  type PlacedFile,
  type PlainCopy,
  pathsOf,
  readFields,
  recordsOf,
  type ScannedDirectory,
  STAT_FIELDS,
  type SysDirent,
  type SysStat,
  scannedOf,
  statOf,
  writeFields,
} from './sys-values.ts'

/**
 * The system calls that Node lacks, from `addon/` (a Node-API addon, compiled into `build/sys.node`). The only file that loads native code.
 *
 * Paths are bytes: a Buffer is passed as it is, a string as UTF-8. `dirfd` is an open directory or AT_FDCWD. Errors are Error objects with
 * `code` ('ENOENT'), `errno` (negative, as in Node) and `syscall`. All calls are synchronous.
 */
export interface Sys {
  openat(dirfd: number, path: Name, flags: number, mode: number): number
  close(fd: number): void
  /** Two connected stream sockets of this machine, written to `ends`. */
  socketpair(ends: Float64Array): void
  /** Sends a byte and, with it, an open file over such a socket; waits while its peer takes none. */
  sendDescriptor(socket: number, fd: number): void
  /** fstatat(2) with AT_SYMLINK_NOFOLLOW unless `flags` says otherwise; '' with AT_EMPTY_PATH stats dirfd itself. */
  statat(dirfd: number, path: Name, flags?: number): SysStat
  /** The same, but undefined for ENOENT and ENOTDIR: throwing costs more than the call. */
  lookupat(dirfd: number, path: Name, flags?: number): SysStat | undefined
  /** Names and d_type of an open directory (not O_PATH), without . and .., in the order of the file system. */
  readdir(fd: number): SysDirent[]
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
  /**
   * Copies from one open file to another, new and empty: a reflink where the file system can, else copy_file_range, else read and write; holes stay
   * holes. Begins at `offset` and stops after `limit` bytes; returns the offset reached, the source's size when all is copied.
   */
  copyFile(fromfd: number, tofd: number, offset?: number, limit?: number): number
  /**
   * Copies `length` bytes from offset `from` of one file to offset `to` of another, by the kernel where it can, on a thread of libuv's pool. Both descriptors may
   * be closed when this returns. EIO when the source is shorter.
   */
  copyRange(fromfd: number, from: number, tofd: number, to: number, length: number): Promise<number>
  /** sync_file_range(2): has the disk begin with these bytes. The descriptor may be closed when this returns. */
  startWriteback(fd: number, offset: number, length: number): Promise<number>
  /** Bytes that nobody can foretell, 256 at most. */
  random(size: number): Buffer
  /** The 64 hex digits of the sha256 of bytes, or of a string as UTF-8, computed at once. */
  sha256(data: string | Uint8Array): string
  /** A sha256 of pieces, which are added on this thread or on others. */
  sha256Begin(): Sha256
  sha256Add(hash: Sha256, data: string | Uint8Array): void
  /** Hashes the pieces, which must stay as they are until then. One at a time for a hash. */
  sha256Update(hash: Sha256, pieces: readonly Uint8Array[]): Promise<number>
  /** Hashes bytes of a file; gives how many there were. The descriptor may be closed when this returns. */
  sha256File(hash: Sha256, fd: number, offset: number, length: number): Promise<number>
  /** The 32 bytes. Nothing can be added any more. */
  sha256End(hash: Sha256): Buffer
  /**
   * All entries of directories below one, whose descriptor may be closed when this returns, each with its stat, on a thread of libuv's pool; undefined for a
   * directory that cannot be scanned: it is not there, a symlink is on the way, its path is longer than the kernel takes, or anything failed.
   */
  scanEach(rootfd: number, paths: readonly Buffer[]): Promise<(ScannedDirectory | undefined)[]>
  /** Of entries of one directory, in their order; undefined for those that are gone, another error is thrown. One call into native code for all of them. */
  statEach(dirfd: number, entries: readonly SysDirent[]): (SysStat | undefined)[]
  /**
   * Copies regular files of one directory to new ones of the same names in another, on a thread of libuv's pool. Both descriptors may be closed
   * when this returns. Resolves to a byte a file: 1 for what was left undone, because it has extended attributes, its name is taken, or anything
   * failed; nothing of it is there then.
   */
  copyEach(fromfd: number, tofd: number, files: readonly PlainCopy[]): Promise<Uint8Array>
  /**
   * Reads regular files of one directory, each to its place in `into`, on a thread of libuv's pool. The descriptor may be closed when this returns; `into` must
   * not be touched before it resolves: to a byte a file, 1 for what was left undone, because it has extended attributes, another size, or anything failed.
   */
  readEach(dirfd: number, files: readonly PlacedFile[], into: Uint8Array): Promise<Uint8Array>
  /**
   * Makes new regular files below a directory, whose descriptor may be closed when this returns, on a thread of libuv's pool. `content` holds that of all, one
   * after the other, and must not change before the end. Resolves to a byte a file: 1 for what was left undone, because its name is taken, a symlink is on
   * the way, or anything failed; a part of it may be there.
   */
  writeEach(rootfd: number, files: readonly NewFile[], content: Uint8Array): Promise<Uint8Array>
  /**
   * Deflate blocks (RFC 1951) of what follows the first `window` bytes (32 KiB at most), which the reader has already, made on a thread of libuv's pool. They
   * end at a whole byte, and with `last` the stream ends. Equal arguments give equal bytes on every machine. `bytes` must not change before.
   */
  deflate(bytes: Uint8Array, window: number, last: boolean, level: number): Promise<Buffer>
  /** A frame of zstd of this level, 0 (zstd's own) to 22, whose pieces `zstdPiece` makes. */
  zstdFrame(level: number): ZstdFrame
  /**
   * The next piece of a frame: what follows the first `window` bytes (512 KiB at most), which the piece before ended with. It has 3.5 MiB at most, all but the last one that much.
   * Pieces are begun in their order, and made side by side on libuv's threads. Equal arguments give equal bytes on every machine. `bytes` must not change before.
   */
  zstdPiece(frame: ZstdFrame, bytes: Uint8Array, window: number, last: boolean): Promise<Buffer>
  /** For frames one after the other, none of which may have a window larger than 2^windowLog bytes. */
  zstdDecoder(windowLog: number): ZstdDecoder
  /**
   * Decodes pieces of frames on a thread of libuv's pool: a header by itself, blocks, a checksum. `output` takes all that they make. Neither may change before the end:
   * resolves to the bytes that were made and what is wrong with the piece behind those that made them. One call at a time.
   */
  zstdDecode(decoder: ZstdDecoder, pieces: readonly Uint8Array[], output: Uint8Array): Promise<readonly [number, string | null]>
  /** flock(2) on an open file; false when LOCK_NB is set and it is held elsewhere. */
  flock(fd: number, operation: number): boolean
  syncfs(fd: number): void
}

/** A running hash, which only the addon looks into. */
export type Sha256 = object & { readonly __sha256: unique symbol }

/** Of the addon, too. */
type ZstdFrame = object & { readonly __zstdFrame: unique symbol }
export type ZstdDecoder = object & { readonly __zstdDecoder: unique symbol }

/** What the addon itself exports where it differs from Sys: results that JavaScript makes faster than Node-API does. */
interface Native
  extends Omit<
    Sys,
    | 'statat'
    | 'lookupat'
    | 'readdir'
    | 'listxattrat'
    | 'scanEach'
    | 'statEach'
    | 'copyEach'
    | 'readEach'
    | 'writeEach'
    | 'deflate'
    | 'zstdPiece'
  > {
  /** 0, or ENOENT or ENOTDIR; `fields` are those of STAT. */
  statat(dirfd: number, path: Name, flags: number, fields: Float64Array): number
  readdir(fd: number): Buffer
  listxattrat(dirfd: number, path: Name): Buffer | null
  copyFile(fromfd: number, tofd: number, offset: number, limit: number): number
  /** `paths`: each ends with NUL and is shorter than PATH_MAX. */
  scanEach(rootfd: number, paths: Uint8Array): Promise<Buffer>
  /** `fields`: those of STAT a record; a mode of 0 where there is nothing. */
  statEach(dirfd: number, records: Uint8Array, fields: Float64Array): void
  /** `fields`: those of COPY a record. */
  copyEach(fromfd: number, tofd: number, records: Uint8Array, fields: Float64Array): Promise<Uint8Array>
  /** `fields`: those of READ a record. */
  readEach(dirfd: number, records: Uint8Array, fields: Float64Array, into: Uint8Array): Promise<Uint8Array>
  /** `paths`: each ends with NUL. `fields`: those of WRITE a path. */
  writeEach(rootfd: number, paths: Uint8Array, fields: Float64Array, content: Uint8Array): Promise<Uint8Array>
  deflate(bytes: Uint8Array, window: number, last: number, level: number): Promise<Buffer>
  zstdPiece(frame: ZstdFrame, bytes: Uint8Array, window: number, last: number): Promise<Buffer>
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
  loaded ??= wrap(load(join(nativeFolder(), 'sys.node')))
  return loaded
}

function load(file: string): Native {
  try {
    // dlopen and not require: a test runner's module registry cannot load native files in every mode.
    const module = { exports: {} }
    process.dlopen(module, file)
    return module.exports as Native
  } catch (cause) {
    throw new TbuildError('NATIVE_MISSING', `the native part ${file} cannot be loaded: ${(cause as Error).message}`, {
      hint: 'run `node scripts/setup.mjs` in the folder of tbuild; it needs a C compiler (Debian: gcc, libc6-dev)',
      cause,
    })
  }
}

function wrap(native: Native): Sys {
  const fields = new Float64Array(STAT_FIELDS)
  const lookupat = (dirfd: number, path: Name, flags = AT_SYMLINK_NOFOLLOW): SysStat | undefined =>
    native.statat(dirfd, path, flags, fields) === 0 ? statOf(fields) : undefined
  return {
    ...native,
    lookupat,
    statat(dirfd, path, flags = AT_SYMLINK_NOFOLLOW) {
      const errno = native.statat(dirfd, path, flags, fields)
      if (errno !== 0) throw missing(errno, path)
      return statOf(fields)
    },
    readdir: (fd) => entriesOf(native.readdir(fd)),
    listxattrat: (dirfd, path) => namesOf(native.listxattrat(dirfd, path)),
    scanEach: async (rootfd, paths) => scannedOf(await native.scanEach(rootfd, pathsOf(paths.map((path) => ({ path })))), paths.length),
    statEach(dirfd, entries) {
      const all = new Float64Array(entries.length * STAT_FIELDS)
      native.statEach(dirfd, recordsOf(entries), all)
      return entries.map((_, index) => foundStat(all, index * STAT_FIELDS))
    },
    copyEach: (fromfd, tofd, files) => native.copyEach(fromfd, tofd, recordsOf(files), copyFields(files)),
    readEach: (dirfd, files, into) => native.readEach(dirfd, recordsOf(files), readFields(files), into),
    writeEach: (rootfd, files, content) => native.writeEach(rootfd, pathsOf(files), writeFields(files), content),
    deflate: (bytes, window, last, level) => native.deflate(bytes, window, last ? 1 : 0, level),
    zstdPiece: (frame, bytes, window, last) => native.zstdPiece(frame, bytes, window, last ? 1 : 0),
    copyFile: (fromfd, tofd, offset = 0, limit = Number.MAX_SAFE_INTEGER) => native.copyFile(fromfd, tofd, offset, limit),
  }
}

function missing(errno: number, path: Name): Error {
  const code = errno === 2 ? 'ENOENT' : 'ENOTDIR'
  const text = `${code}: ${errno === 2 ? 'no such file or directory' : 'not a directory'}, fstatat '${Buffer.from(path)}'`
  return Object.assign(new Error(text), { code, errno: -errno, syscall: 'fstatat' })
}

export type Compression = 'none' | 'gzip' | 'bzip2' | 'xz' | 'zstd'

/** One entry of a tar stream, all of PAX, GNU and ustar decoded. Names are bytes. */
export interface TarEntry {
  /** Relative, without leading `./` or `/` and without trailing `/`; the root itself is empty. Never normalised otherwise: `..` is the reader's to refuse. */
  readonly name: Buffer
  readonly type: TarType
  /** The type in the archive where it is an odd one for a file: `7` (contiguous) or `S` (sparse, old GNU format). */
  readonly rareType?: string
  /** Permission bits and setuid, setgid, sticky: 0 to 0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes of content; 0 unless a file. Up to 2^53. */
  readonly size: number
  /** Seconds since the epoch, possibly negative; nanoseconds 0 to 999999999. */
  readonly mtime: number
  readonly mtimeNanoseconds?: number
  /** Target of a symlink (verbatim) or hard link (as in the archive). */
  readonly linkname?: Buffer
  readonly major?: number
  readonly minor?: number
  /** SCHILY.xattr.*: full name to bytes. */
  readonly xattrs?: ReadonlyMap<string, Buffer>
}

export type TarType = 'file' | 'directory' | 'symlink' | 'link' | 'character' | 'block' | 'fifo'

/** What a reader yields: the content must be consumed (or skipped by asking for the next) before the next entry. */
export interface TarItem {
  readonly entry: TarEntry
  readonly content: AsyncIterable<Uint8Array>
}

import { readFileSync } from 'node:fs'
import { endianness } from 'node:os'
import { join } from 'node:path'
import { sha256Hex } from '../base/digest.ts'
import { writeAtomicSync } from './atomic-file.ts'
import type { StoreLayout } from './layout.ts'
import type { Leases } from './leases.ts'

/**
 * Digests of files by their stat, so that an unchanged file is not read again. One file a context root:
 *
 *   tbuild-stat 2 LE <sha256 of the rest>, spaces and a newline up to 96 bytes  then for each file  ROW doubles: its stat, and the 32 bytes of its sha256
 *
 * It is searched as it lies there: twenty thousand files are one read, and neither a string nor an object for each. Losing it costs time only: it is written when
 * something changed, never synced, and ignored when its checksum is wrong. A build of before it finds another head, takes it for empty and replaces it.
 */
export interface FileDigests {
  /** Hex, 64 characters. */
  get(stat: FileStat): string | undefined
  set(stat: FileStat, digest: string): void
  /** Writes the file when one was added. An error is thrown away: the store may be full, and the build is done. */
  save(): void
}

/** What identifies the content of a file. */
export interface FileStat {
  readonly dev: number
  readonly ino: number
  readonly size: number
  readonly mtimeSeconds: number
  readonly mtimeNanoseconds: number
  readonly ctimeSeconds: number
  readonly ctimeNanoseconds: number
}

/** Milliseconds. File systems stamp with the clock's tick, some with whole seconds or two. */
const RACY = 2000

/**
 * False for what was changed so recently that another change could leave the same stamps: its digest must not be kept (git's racy entries). ctime is asked, too,
 * since mtime can be set back by anyone. `now` is the time before anything is read, in milliseconds.
 */
export function isSettled(stat: Pick<FileStat, 'mtimeSeconds' | 'ctimeSeconds'>, now: number): boolean {
  return now - Math.max(stat.mtimeSeconds, stat.ctimeSeconds) * 1000 >= RACY + 1000
}

/** `root`: absolute path of the context directory, or another name. `spare`: as SPARE, which it is otherwise. */
export type OpenFileDigests = (root: string, options?: { readonly spare?: number }) => FileDigests

export function openFileDigests(layout: StoreLayout, leases: Leases): OpenFileDigests {
  return (root, { spare = SPARE } = {}) => {
    const path = join(layout.stat, sha256Hex(root))
    return new DigestFile(path, () => leases.temporary(), spare)
  }
}

/** For verification. */
export function isFileDigests(path: string): boolean {
  return read(path) !== undefined
}

const HEAD = `tbuild-stat 2 ${endianness()} `
/** Bytes: rows begin at a whole double. */
const HEAD_SIZE = 96
/** Entries of files that this build did not see are kept up to this count: other Dockerfiles use other parts of a context. */
const SPARE = 20_000

/** Doubles of a stat. */
const STAT = 7
const DIGEST_SIZE = 32
const DOUBLE = Float64Array.BYTES_PER_ELEMENT
/** Doubles of a row, a digest among them. */
const ROW = STAT + DIGEST_SIZE / DOUBLE
const ROW_SIZE = ROW * DOUBLE

class DigestFile implements FileDigests {
  readonly #path: string
  readonly #temporary: () => string
  readonly #spare: number
  /** Not before the first question: a build without COPY from the context has none. */
  #table: Table | undefined
  #isChanged = false

  constructor(path: string, temporary: () => string, spare: number) {
    this.#path = path
    this.#temporary = temporary
    this.#spare = spare
  }

  #loaded(): Table {
    this.#table ??= new Table(read(this.#path) ?? new Uint8Array(0))
    return this.#table
  }

  get(stat: FileStat): string | undefined {
    return this.#loaded().get(stat)
  }

  set(stat: FileStat, digest: string): void {
    this.#loaded().set(stat, Buffer.from(digest, 'hex'))
    this.#isChanged = true
  }

  save(): void {
    if (!this.#isChanged || this.#table === undefined) return
    const rows = this.#table.kept(this.#spare)
    const file = Buffer.alloc(HEAD_SIZE + rows.length, ' ')
    file.write(`${HEAD}${checksum(rows)}`, 'latin1')
    file[HEAD_SIZE - 1] = 0x0a
    file.set(rows, HEAD_SIZE)
    try {
      writeAtomicSync(this.#temporary(), this.#path, file, { durable: false })
      this.#isChanged = false
    } catch {
      // See the interface.
    }
  }
}

/** The rows of a file, undefined when there is none, or none that is whole. */
function read(path: string): Uint8Array | undefined {
  try {
    const file = readFileSync(path)
    const rows = file.subarray(HEAD_SIZE)
    const isWhole = file.length >= HEAD_SIZE && rows.length % ROW_SIZE === 0 && file.toString('latin1', 0, HEAD.length) === HEAD
    return isWhole && file.toString('latin1', HEAD.length, HEAD.length + 64) === checksum(rows) ? rows : undefined
  } catch {
    return undefined
  }
}

function checksum(rows: Uint8Array): string {
  return sha256Hex(rows)
}

/** Rows, found by a hash of inode and time: open addressing, half of the slots are free. */
class Table {
  #bytes: Buffer
  #doubles: Float64Array
  #count: number
  /** Number of a row and one more; 0 is free. */
  #slots: Int32Array
  /** Rows that this build asked for. */
  #used: Uint8Array

  constructor(rows: Uint8Array) {
    this.#count = rows.length / ROW_SIZE
    this.#bytes = Buffer.alloc((this.#count + 64) * ROW_SIZE)
    this.#bytes.set(rows)
    this.#doubles = doublesOf(this.#bytes)
    this.#used = new Uint8Array(this.#count + 64)
    this.#slots = this.#indexed()
  }

  get(stat: FileStat): string | undefined {
    const row = (this.#slots[this.#slot(stat)] as number) - 1
    if (row < 0) return undefined
    this.#used[row] = 1
    const at = row * ROW_SIZE + STAT * DOUBLE
    return this.#bytes.toString('hex', at, at + DIGEST_SIZE)
  }

  set(stat: FileStat, digest: Uint8Array): void {
    if (digest.length !== DIGEST_SIZE) throw new TypeError('a sha256 is needed here')
    let row = (this.#slots[this.#slot(stat)] as number) - 1
    if (row < 0) {
      if (this.#count === this.#used.length) this.#grow()
      row = this.#count++
      this.#doubles.set(fieldsOf(stat), row * ROW)
      this.#slots[this.#slot(stat)] = row + 1
    }
    this.#bytes.set(digest, row * ROW_SIZE + STAT * DOUBLE)
    this.#used[row] = 1
  }

  /** All rows, or those that were asked for, where more than `spare` were not. */
  kept(spare: number): Uint8Array {
    let used = 0
    for (let row = 0; row < this.#count; row++) used += this.#used[row] as number
    if (this.#count <= used + spare) return this.#bytes.subarray(0, this.#count * ROW_SIZE)
    const kept = Buffer.allocUnsafeSlow(used * ROW_SIZE)
    let at = 0
    for (let row = 0; row < this.#count; row++) {
      if (this.#used[row] === 0) continue
      kept.set(this.#bytes.subarray(row * ROW_SIZE, (row + 1) * ROW_SIZE), at)
      at += ROW_SIZE
    }
    return kept
  }

  /** Where it is, or where it would stand. */
  #slot(stat: FileStat): number {
    const mask = this.#slots.length - 1
    for (let slot = hashOf(stat.ino, stat.ctimeNanoseconds) & mask; ; slot = (slot + 1) & mask) {
      const row = (this.#slots[slot] as number) - 1
      if (row < 0 || this.#isOf(row, stat)) return slot
    }
  }

  #isOf(row: number, stat: FileStat): boolean {
    const at = row * ROW
    const fields = this.#doubles
    return (
      fields[at] === stat.dev &&
      fields[at + 1] === stat.ino &&
      fields[at + 2] === stat.size &&
      fields[at + 3] === stat.mtimeSeconds &&
      fields[at + 4] === stat.mtimeNanoseconds &&
      fields[at + 5] === stat.ctimeSeconds &&
      fields[at + 6] === stat.ctimeNanoseconds
    )
  }

  #grow(): void {
    const bytes = Buffer.alloc(this.#bytes.length * 2)
    bytes.set(this.#bytes)
    this.#bytes = bytes
    this.#doubles = doublesOf(bytes)
    const used = new Uint8Array(this.#used.length * 2)
    used.set(this.#used)
    this.#used = used
    this.#slots = this.#indexed()
  }

  #indexed(): Int32Array {
    const slots = new Int32Array(2 ** Math.ceil(Math.log2(this.#used.length * 2)))
    const mask = slots.length - 1
    for (let row = 0; row < this.#count; row++) {
      let slot = hashOf(this.#doubles[row * ROW + 1] as number, this.#doubles[row * ROW + STAT - 1] as number) & mask
      while (slots[slot] !== 0) slot = (slot + 1) & mask
      slots[slot] = row + 1
    }
    return slots
  }
}

function fieldsOf(stat: FileStat): number[] {
  const { dev, ino, size, mtimeSeconds, mtimeNanoseconds, ctimeSeconds, ctimeNanoseconds } = stat
  return [dev, ino, size, mtimeSeconds, mtimeNanoseconds, ctimeSeconds, ctimeNanoseconds]
}

/** Buffers that are large enough to have memory of their own begin at a whole double. */
function doublesOf(bytes: Buffer): Float64Array {
  return new Float64Array(bytes.buffer, bytes.byteOffset, bytes.length / DOUBLE)
}

/** A file system gives inodes in turn, so their lowest bits alone would stand in long rows. */
function hashOf(ino: number, nanoseconds: number): number {
  const mixed = Math.imul((ino | 0) ^ nanoseconds, 0x9e3779b1)
  return mixed ^ (mixed >>> 15)
}

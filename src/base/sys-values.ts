/** What system calls take and give, and the flat forms in which the addon has them: decoded here, once. */

export type Name = Uint8Array | string

export interface SysDirent {
  name: Buffer
  /** DT_*; DT_UNKNOWN on file systems that do not tell. */
  type: number
}

/** A file without extended attributes and what its copy gets. */
export interface PlainCopy {
  readonly name: Buffer
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeSeconds: number
  readonly mtimeNanoseconds: number
}

/** A file and where its content goes. */
export interface PlacedFile {
  readonly name: Buffer
  /** Bytes. */
  readonly offset: number
  /** Bytes that it should have. */
  readonly size: number
}

/** A new file of a tree and what it gets. */
export interface NewFile extends Omit<PlainCopy, 'name'> {
  /** Below the tree's root, without symlinks and `..`. */
  readonly path: Buffer
  /** Bytes of content. */
  readonly size: number
}

export interface SysStat {
  dev: number
  /** Folded into 53 bits (overlayfs with xino uses all 64). */
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

/** Where each field of a SysStat stands: enum stat_field of addon/batch.h. */
export const STAT = {
  dev: 0,
  ino: 1,
  mode: 2,
  nlink: 3,
  uid: 4,
  gid: 5,
  rdevMajor: 6,
  rdevMinor: 7,
  size: 8,
  mtimeSeconds: 9,
  mtimeNanoseconds: 10,
  ctimeSeconds: 11,
  ctimeNanoseconds: 12,
} as const satisfies Record<keyof SysStat, number>
export const STAT_FIELDS = 13

/** All entries of a directory, sorted by the bytes of their names. */
export interface ScannedDirectory {
  /** As `entriesOf` reads them; the types are those of the stats. */
  readonly names: Buffer
  /** STAT_FIELDS an entry. */
  readonly stats: Float64Array
}

/** Where each field of a copy stands: enum copy_field of addon/batch.h. */
export const COPY = { mode: 0, uid: 1, gid: 2, mtimeSeconds: 3, mtimeNanoseconds: 4 } as const satisfies Record<
  Exclude<keyof PlainCopy, 'name'>,
  number
>
const COPY_FIELDS = 5

/** Where each field of a file that is read stands: enum read_field of addon/batch.h. */
export const READ = { offset: 0, size: 1 } as const satisfies Record<Exclude<keyof PlacedFile, 'name'>, number>
const READ_FIELDS = 2

/** Where each field of a new file stands: those of a copy, then the enum of addon/write.h. */
export const WRITE = { ...COPY, size: COPY_FIELDS } as const satisfies Record<Exclude<keyof NewFile, 'path'>, number>
const WRITE_FIELDS = 6

/** The one that begins at `at`. */
export function statOf(fields: Float64Array, at = 0): SysStat {
  return {
    dev: fields[at + STAT.dev] as number,
    ino: fields[at + STAT.ino] as number,
    mode: fields[at + STAT.mode] as number,
    nlink: fields[at + STAT.nlink] as number,
    uid: fields[at + STAT.uid] as number,
    gid: fields[at + STAT.gid] as number,
    rdevMajor: fields[at + STAT.rdevMajor] as number,
    rdevMinor: fields[at + STAT.rdevMinor] as number,
    size: fields[at + STAT.size] as number,
    mtimeSeconds: fields[at + STAT.mtimeSeconds] as number,
    mtimeNanoseconds: fields[at + STAT.mtimeNanoseconds] as number,
    ctimeSeconds: fields[at + STAT.ctimeSeconds] as number,
    ctimeNanoseconds: fields[at + STAT.ctimeNanoseconds] as number,
  }
}

/** Looks at one row after the other, without an object for each. */
export class StatRow implements SysStat {
  readonly #fields: Float64Array
  #at = 0

  constructor(fields: Float64Array) {
    this.#fields = fields
  }

  at(index: number): this {
    this.#at = index * STAT_FIELDS
    return this
  }

  #field(field: number): number {
    return this.#fields[this.#at + field] as number
  }

  get dev(): number {
    return this.#field(STAT.dev)
  }

  get ino(): number {
    return this.#field(STAT.ino)
  }

  get mode(): number {
    return this.#field(STAT.mode)
  }

  get nlink(): number {
    return this.#field(STAT.nlink)
  }

  get uid(): number {
    return this.#field(STAT.uid)
  }

  get gid(): number {
    return this.#field(STAT.gid)
  }

  get rdevMajor(): number {
    return this.#field(STAT.rdevMajor)
  }

  get rdevMinor(): number {
    return this.#field(STAT.rdevMinor)
  }

  get size(): number {
    return this.#field(STAT.size)
  }

  get mtimeSeconds(): number {
    return this.#field(STAT.mtimeSeconds)
  }

  get mtimeNanoseconds(): number {
    return this.#field(STAT.mtimeNanoseconds)
  }

  get ctimeSeconds(): number {
    return this.#field(STAT.ctimeSeconds)
  }

  get ctimeNanoseconds(): number {
    return this.#field(STAT.ctimeNanoseconds)
  }
}

/** Of statEach: every file has a mode, its type. */
export function foundStat(fields: Float64Array, at: number): SysStat | undefined {
  return fields[at + STAT.mode] === 0 ? undefined : statOf(fields, at)
}

export function copyFields(files: readonly PlainCopy[]): Float64Array {
  const fields = new Float64Array(files.length * COPY_FIELDS)
  files.forEach((file, index) => {
    setCopy(fields, index * COPY_FIELDS, file)
  })
  return fields
}

export function readFields(files: readonly PlacedFile[]): Float64Array {
  const fields = new Float64Array(files.length * READ_FIELDS)
  files.forEach((file, index) => {
    fields[index * READ_FIELDS + READ.offset] = file.offset
    fields[index * READ_FIELDS + READ.size] = file.size
  })
  return fields
}

function setCopy(fields: Float64Array, at: number, file: Omit<PlainCopy, 'name'>): void {
  fields[at + COPY.mode] = file.mode
  fields[at + COPY.uid] = file.uid
  fields[at + COPY.gid] = file.gid
  fields[at + COPY.mtimeSeconds] = file.mtimeSeconds
  fields[at + COPY.mtimeNanoseconds] = file.mtimeNanoseconds
}

export function writeFields(files: readonly NewFile[]): Float64Array {
  const fields = new Float64Array(files.length * WRITE_FIELDS)
  files.forEach((file, index) => {
    setCopy(fields, index * WRITE_FIELDS, file)
    fields[index * WRITE_FIELDS + WRITE.size] = file.size
  })
  return fields
}

/** Each ends with NUL. */
export function pathsOf(files: readonly { readonly path: Buffer }[]): Buffer {
  const paths = Buffer.alloc(files.reduce((sum, { path }) => sum + path.length + 1, 0))
  let at = 0
  for (const { path } of files) {
    paths.set(path, at)
    at += path.length + 1
  }
  return paths
}

/** Of a record { type: u8, length: u16le, name }. */
export const RECORD_HEADER = 3

export function entriesOf(records: Buffer): SysDirent[] {
  const entries: SysDirent[] = []
  for (let at = 0; at < records.length; ) {
    const end = at + RECORD_HEADER + records.readUInt16LE(at + 1)
    entries.push({ type: records[at] as number, name: records.subarray(at + RECORD_HEADER, end) })
    at = end
  }
  return entries
}

/** Of a directory in what scanEach gives. */
const SCAN_FIELDS = 2

/** What scanEach gives for `count` directories; undefined for one that could not be scanned. */
export function scannedOf(scan: Buffer, count: number): (ScannedDirectory | undefined)[] {
  // Views of doubles begin at a whole one of them.
  const bytes = scan.byteOffset % Float64Array.BYTES_PER_ELEMENT === 0 ? scan : Buffer.from(new Uint8Array(scan).buffer)
  const doubles = new Float64Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / Float64Array.BYTES_PER_ELEMENT))
  const told = (index: number) => doubles.subarray(index * SCAN_FIELDS, (index + 1) * SCAN_FIELDS) as unknown as readonly [number, number]
  let stats = count * SCAN_FIELDS
  let names = stats
  for (let index = 0; index < count; index++) names += Math.max(told(index)[0], 0) * STAT_FIELDS
  names *= Float64Array.BYTES_PER_ELEMENT
  return Array.from({ length: count }, (_, index) => {
    const [entries, length] = told(index)
    if (entries < 0) return undefined
    const directory = { names: bytes.subarray(names, names + length), stats: doubles.subarray(stats, stats + entries * STAT_FIELDS) }
    names += length
    stats += entries * STAT_FIELDS
    return directory
  })
}

/** The reverse of `entriesOf`. */
export function recordsOf(entries: readonly { readonly name: Buffer; readonly type?: number }[]): Buffer {
  const buffer = Buffer.allocUnsafe(entries.reduce((sum, { name }) => sum + RECORD_HEADER + name.length, 0))
  let at = 0
  for (const { name, type = 0 } of entries) {
    buffer[at] = type
    buffer.writeUInt16LE(name.length, at + 1)
    buffer.set(name, at + RECORD_HEADER)
    at += RECORD_HEADER + name.length
  }
  return buffer
}

/** Names that each end with NUL. */
export function namesOf(list: Buffer | null): Buffer[] {
  const names: Buffer[] = []
  if (list === null) return names
  for (let at = 0; at < list.length; ) {
    const end = list.indexOf(0, at)
    names.push(list.subarray(at, end))
    at = end + 1
  }
  return names
}

import { TbuildError } from '../base/errors.ts'
import type { Bytes } from '../store/types.ts'
import { limitHint } from '../values/limits.ts'
import { BLOCK, decodeHeader, type Header, isZeroBlock, text } from './header.ts'
import { decodePax, lastValues, type PaxRecords, paxInteger, paxTime, paxXattrs } from './pax.ts'
import { ByteSource, corrupt } from './source.ts'
import {
  expandSparse,
  paxSparseRegions,
  paxSparseSize,
  paxSparseVersion,
  readGnuSparse,
  readSparseMap,
  type SparseMap,
  validateSparse,
} from './sparse.ts'
import type { TarEntry, TarItem, TarType } from './types.ts'

/** Caps on what an archive may ask of its reader. */
export interface TarLimits {
  /** Members, extended headers counted. */
  readonly maxEntries?: number
  /** Bytes of one extended header (PAX, GNU long name). Go's archive/tar has the same megabyte. */
  readonly maxHeaderBytes?: number
  /** Bytes of content of all files together, holes of sparse files counted. */
  readonly maxBytes?: number
  readonly maxSparseRegions?: number
}

export interface TarOptions extends TarLimits {
  /** Called at the archive's end, before the stream is read on to its own. */
  readonly onEnd?: () => void
}

const DEFAULTS = {
  maxEntries: 10_000_000,
  maxHeaderBytes: 1024 * 1024,
  maxBytes: Number.MAX_SAFE_INTEGER,
  maxSparseRegions: 131_072,
  onEnd: () => {},
}

/** The largest id: 2^32 - 1 means "do not change" to chown(2). */
const MAX_ID = 2 ** 32 - 2

// biome-ignore format: a table
const TYPES: Readonly<Record<string, TarType>> = {
  '0': 'file', '\0': 'file', '7': 'file', S: 'file',
  '1': 'link', '2': 'symlink', '3': 'character', '4': 'block', '5': 'directory', '6': 'fifo',
}

/** A header with everything that came before it and belongs to it. */
interface Member {
  readonly header: Header
  readonly block: Buffer
  readonly offset: number
  readonly pax: PaxRecords
  readonly longName?: Buffer
  readonly longLink?: Buffer
}

/**
 * The entries of an uncompressed tar: V7, ustar, PAX and GNU (long names, sparse files expanded). tar-stream is not used here: it decodes PAX values as
 * UTF-8, ignores PAX uid, gid and mtime, and skips what it does not understand. Where readers disagree about what an archive says, this one
 * answers as Go's archive/tar (hence BuildKit) when GNU tar does too, and otherwise refuses with TAR_CORRUPT: two views of one archive are how
 * entries are hidden (CVE-2025-62518). The stream is read to its end, beyond the archive's, so that a digest over it is checked.
 */
export async function* readTar(bytes: Bytes, options: TarOptions = {}): AsyncGenerator<TarItem, void, undefined> {
  const reader = new MemberReader(bytes, { ...DEFAULTS, ...options })
  try {
    for (let item = await reader.next(); item !== undefined; item = await reader.next()) yield item
  } finally {
    await reader.source.close()
  }
}

class MemberReader {
  readonly source: ByteSource
  readonly #limits: Required<TarOptions>
  #entries = 0
  /** An entry was found, not only extended headers. */
  #any = false
  #bytes = 0
  /** Of the current member's stored content and padding. */
  #unread = 0
  #padding = 0

  constructor(bytes: Bytes, limits: Required<TarOptions>) {
    this.source = new ByteSource(bytes)
    this.#limits = limits
  }

  async next(): Promise<TarItem | undefined> {
    const member = (await this.#finishMember()) ? await this.#member() : undefined
    if (member === undefined) return undefined
    this.#any = true
    const records = lastValues(member.pax)
    const type = entryType(member)
    const stored = storedSize(member, type, records)
    this.#unread = stored
    this.#padding = (BLOCK - (stored % BLOCK)) % BLOCK
    const sparse = type === 'file' ? await this.#sparse(member, records) : undefined
    const size = sparse?.size ?? stored
    this.#bytes += size
    if (this.#bytes > this.#limits.maxBytes) throw limit(`more than ${this.#limits.maxBytes} bytes of files`, limitHint('unpack'))
    const raw = this.#content()
    const entry = toEntry(member, records, type, size)
    return { entry, content: sparse === undefined ? raw : expandSparse(sparse, raw) }
  }

  async *#content(): AsyncGenerator<Buffer> {
    const entry = this.#entries
    while (this.#unread > 0) {
      const part = this.source.take(this.#unread)
      if (part === undefined) {
        if (!(await this.source.fill())) throw corrupt('the archive ends in the middle of a file', this.source.offset)
        continue
      }
      this.#unread -= part.length
      yield part
      if (entry !== this.#entries) throw new Error('content of a tar entry was read after the next entry was asked for')
    }
  }

  /** False when the stream ends before or within the padding of the content: for Go's reader the archive ends there. */
  async #finishMember(): Promise<boolean> {
    const unread = this.#unread
    const padding = this.#padding
    this.#unread = 0
    this.#padding = 0
    if (unread > 0) await this.source.skip(unread)
    return this.#skipPadding(padding)
  }

  async #skipPadding(count: number): Promise<boolean> {
    for (let missing = count; missing > 0; ) {
      if (!(await this.source.fill())) return false
      missing -= (this.source.take(missing) as Buffer).length
    }
    return true
  }

  /** The next real header, the extended ones before it read and kept. Iterates: an archive of nothing but extended headers costs no stack. */
  async #member(): Promise<Member | undefined> {
    let pax: PaxRecords | undefined
    let longName: Buffer | undefined
    let longLink: Buffer | undefined
    for (;;) {
      const offset = this.source.offset
      const block = await this.#block()
      if (block === undefined) {
        // Behind other entries it means nothing, for GNU tar and Go; alone it makes a file that is no archive for Go, and an empty one for GNU tar.
        if (!this.#any && (pax !== undefined || longName !== undefined || longLink !== undefined))
          throw corrupt('an extended header without its entry', offset)
        return undefined
      }
      const header = decodeHeader(block, offset)
      this.#entries += 1
      if (this.#entries > this.#limits.maxEntries) throw limit(`more than ${this.#limits.maxEntries} members`)
      // A PAX size never applies here: it belongs to the entry that follows, whatever stands between (TARmageddon).
      if (header.typeflag === 'L' && longName === undefined) longName = cString(await this.#extended(header, offset))
      else if (header.typeflag === 'K' && longLink === undefined) longLink = cString(await this.#extended(header, offset))
      else if (header.typeflag === 'x' && pax === undefined) pax = decodePax(await this.#extended(header, offset), offset)
      else if (header.typeflag === 'g') checkGlobal(decodePax(await this.#extended(header, offset), offset), offset)
      else if ('LKx'.includes(header.typeflag)) throw corrupt('the same extended header twice for one entry', offset)
      else return { header, block, offset, pax: pax ?? [], ...(longName && { longName }), ...(longLink && { longLink }) }
    }
  }

  /** Undefined at the end of the archive: two zero blocks, or the end of the stream between two members, which GNU tar and Go accept. */
  async #block(): Promise<Buffer | undefined> {
    const block = this.source.tryRead(BLOCK) ?? (await this.source.read(BLOCK))
    if (block === undefined || !isZeroBlock(block)) return block
    const second = await this.source.read(BLOCK)
    if (second !== undefined && !isZeroBlock(second)) throw corrupt('a lone zero block', this.source.offset - BLOCK)
    this.#limits.onEnd()
    await this.source.drain()
    return undefined
  }

  async #extended(header: Header, offset: number): Promise<Buffer> {
    const { maxHeaderBytes } = this.#limits
    if (header.size < 0) throw corrupt('negative size', offset)
    if (header.size > maxHeaderBytes) throw limit(`an extended header of ${header.size} bytes, more than ${maxHeaderBytes},`)
    const data = header.size === 0 ? Buffer.alloc(0) : await this.source.read(header.size)
    if (data === undefined) throw corrupt('the archive ends in an extended header', this.source.offset)
    await this.#skipPadding((BLOCK - (header.size % BLOCK)) % BLOCK)
    return data
  }

  async #sparse(member: Member, records: ReadonlyMap<string, Buffer>): Promise<SparseMap | undefined> {
    const { maxSparseRegions } = this.#limits
    const { offset } = member
    const version = paxSparseVersion(records, offset)
    if (member.header.typeflag === 'S') {
      if (version !== undefined) throw corrupt('two kinds of sparse map for one file', offset)
      return validateSparse(await readGnuSparse(this.source, member.block, maxSparseRegions), this.#unread, offset)
    }
    if (version === undefined) return undefined
    const size = paxSparseSize(records, offset)
    if (version === '0.x')
      return validateSparse({ size, regions: paxSparseRegions(member.pax, maxSparseRegions, offset) }, this.#unread, offset)
    const { regions, bytes } = await readSparseMap(this.source, this.#unread, maxSparseRegions)
    this.#unread -= bytes
    return validateSparse({ size, regions }, this.#unread, offset)
  }
}

/** Global records are not applied, as in BuildKit; those that would move or hide entries for the readers that do apply them are refused. */
function checkGlobal(records: PaxRecords, offset: number): void {
  for (const [key] of records) {
    if (key === 'path' || key === 'linkpath' || key === 'size' || key.startsWith('GNU.sparse.'))
      throw corrupt(`PAX ${key} in a global header`, offset)
  }
}

function entryType({ header, longName, offset }: Member): TarType {
  const type = TYPES[header.typeflag]
  if (type === undefined) {
    throw new TbuildError(
      'TAR_UNSUPPORTED',
      `unsupported tar entry type ${JSON.stringify(header.typeflag)} at byte ${offset} of the archive`,
    )
  }
  if (header.typeflag !== '\0' || (longName ?? header.name).at(-1) !== 0x2f) return type
  // V7 has no type for directories. One with content is a directory to some and a file to others.
  if (header.size !== 0) throw corrupt('a directory with content', offset)
  return 'directory'
}

/** Only files have content, whatever size the header of another type gives. */
function storedSize({ header, offset }: Member, type: TarType, records: ReadonlyMap<string, Buffer>): number {
  const pax = records.get('size')
  const size = pax === undefined ? header.size : paxInteger(pax, 'size', Number.MAX_SAFE_INTEGER, offset)
  if (size < 0 || header.size < 0) throw corrupt('negative size', offset)
  return type === 'file' ? size : 0
}

function toEntry(member: Member, records: ReadonlyMap<string, Buffer>, type: TarType, size: number): TarEntry {
  const { header, offset } = member
  const id = (key: 'uid' | 'gid') => {
    const value = records.get(key)
    const number = value === undefined ? header[key] : paxInteger(value, key, MAX_ID, offset)
    if (number < 0 || number > MAX_ID) throw corrupt(`invalid ${key} ${number}`, offset)
    return number
  }
  const time = records.get('mtime')
  const { seconds, nanoseconds } = time === undefined ? { seconds: header.mtime, nanoseconds: 0 } : paxTime(time, offset)
  const xattrs = paxXattrs(member.pax)
  const name = pathOf(member.longName, records.get('GNU.sparse.name') ?? records.get('path'), header.name, offset)
  const device = type === 'character' || type === 'block'
  return {
    name: relativeName(name),
    type,
    ...('7S'.includes(header.typeflag) ? { rareType: header.typeflag } : {}),
    mode: header.mode & 0o7777,
    uid: id('uid'),
    gid: id('gid'),
    size,
    mtime: seconds,
    ...(nanoseconds === 0 ? {} : { mtimeNanoseconds: nanoseconds }),
    ...(type === 'symlink' || type === 'link'
      ? { linkname: pathOf(member.longLink, records.get('linkpath'), header.linkname, offset) }
      : {}),
    ...(device ? { major: header.major, minor: header.minor } : {}),
    ...(xattrs === undefined ? {} : { xattrs }),
  }
}

/** Go takes the GNU long name, GNU tar the PAX path: with both they must agree. */
function pathOf(long: Buffer | undefined, pax: Buffer | undefined, plain: Buffer, offset: number): Buffer {
  if (long !== undefined && pax !== undefined && !long.equals(pax))
    throw corrupt('a GNU long name and another PAX path for one entry', offset)
  return long ?? pax ?? plain
}

const SLASH = 0x2f
const DOT = 0x2e

/** Without leading `/` and `./` and without trailing `/`; `..` stays, for whoever resolves it. */
function relativeName(name: Buffer): Buffer {
  let start = 0
  while (name[start] === SLASH || (name[start] === DOT && (start + 1 === name.length || name[start + 1] === SLASH))) start += 1
  let end = name.length
  while (end > start && name[end - 1] === SLASH) end -= 1
  return name.subarray(start, end)
}

function cString(data: Buffer): Buffer {
  return text(data, 0, data.length)
}

function limit(what: string, hint?: string): TbuildError {
  return new TbuildError('TAR_LIMIT', `the tar archive has ${what} and is refused`, hint === undefined ? {} : { hint })
}

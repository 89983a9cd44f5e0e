import { TbuildError } from '../base/errors.ts'
import { BLOCK, encodeHeader, fitsOctal, type Header, isAscii } from './header.ts'
import { encodePax, formatPaxTime, xattrKey } from './pax.ts'
import { asBuffer } from './source.ts'
import type { TarEntry, TarItem, TarType } from './types.ts'

const TYPEFLAGS: Readonly<Record<TarType, string>> = {
  file: '0',
  link: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
}

const EMPTY = Buffer.alloc(0)
const ZEROS = Buffer.alloc(2 * BLOCK)
/** What stands behind the last member. */
export const END_OF_TAR = ZEROS
const SLASH = Buffer.from('/')

/** Small pieces are joined up to this many bytes: what follows (hash, gzip) pays by the chunk. */
const CHUNK = 64 * 1024

/**
 * A PAX tar as Go's archive/tar writes it with FormatPAX, which is what containerd's differ asks for: an extended header only before an entry that
 * needs one, no times or names of users. Equal items give equal bytes. tar-stream's pack is not used for layers: it has no way to write a PAX value that
 * is not UTF-8, clamps ids over 2^18 and turns mode 0 into 0644.
 */
export async function* writeTar(items: AsyncIterable<TarItem> | Iterable<TarItem>): AsyncGenerator<Buffer, void, undefined> {
  const joiner = new Joiner()
  for await (const { entry, content } of items) {
    for (const block of encodeEntry(entry)) yield* joiner.add(block)
    if (entry.type !== 'file' || entry.size === 0) continue
    let written = 0
    for await (const chunk of content) {
      written += chunk.length
      if (written > entry.size) break
      yield* joiner.add(asBuffer(chunk))
    }
    if (written !== entry.size) throw sizeChanged(entry, written)
    yield* joiner.add(paddingOf(entry.size))
  }
  yield* joiner.add(ZEROS)
  yield* joiner.flush()
}

/** Everything of an entry but its content: [PAX header, records, padding,] header. */
export function encodeEntry(entry: TarEntry): Buffer[] {
  const header = toHeader(entry)
  const records = paxRecords(entry, header)
  if (records.size === 0) return [encodeHeader(header)]
  const data = encodePax(records)
  const extended: Header = { ...header, name: paxName(entry.name), mode: 0, uid: 0, gid: 0, mtime: 0, size: data.length, typeflag: 'x' }
  return [encodeHeader({ ...extended, linkname: EMPTY, major: 0, minor: 0 }), data, paddingOf(data.length), encodeHeader(header)]
}

function toHeader(entry: TarEntry): Header {
  const { type } = entry
  const directory = type === 'directory'
  const name = entry.name.length === 0 ? Buffer.from('./') : directory ? Buffer.concat([entry.name, SLASH]) : entry.name
  if (entry.name.length === 0 && !directory) throw invalid(entry, 'has no name')
  return {
    name,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    size: type === 'file' ? entry.size : 0,
    mtime: entry.mtime,
    typeflag: TYPEFLAGS[type],
    linkname: type === 'symlink' || type === 'link' ? (entry.linkname ?? EMPTY) : EMPTY,
    major: entry.major ?? 0,
    minor: entry.minor ?? 0,
  }
}

/** What the ustar block cannot hold exactly. */
function paxRecords(entry: TarEntry, header: Header): Map<string, Uint8Array> {
  const records = new Map<string, Uint8Array>()
  const number = (key: string, value: number, length: number) => {
    if (!fitsOctal(value, length)) records.set(key, Buffer.from(String(value)))
  }
  for (const [key, value] of [
    ['path', header.name],
    ['linkpath', header.linkname],
  ] as const) {
    if (value.includes(0)) throw invalid(entry, `has a NUL in its ${key}`)
    if (value.length > 100 || !isAscii(value)) records.set(key, value)
  }
  number('uid', header.uid, 8)
  number('gid', header.gid, 8)
  number('size', header.size, 12)
  if (!fitsOctal(header.major, 8) || !fitsOctal(header.minor, 8)) throw invalid(entry, 'has a device number over 2097151')
  const nanoseconds = entry.mtimeNanoseconds ?? 0
  if (nanoseconds !== 0 || !fitsOctal(entry.mtime, 12)) records.set('mtime', Buffer.from(formatPaxTime(entry.mtime, nanoseconds)))
  for (const [name, value] of entry.xattrs ?? []) {
    if (name === '' || /[=\0]/.test(name)) throw invalid(entry, `has the extended attribute ${JSON.stringify(name)}, which tar cannot hold`)
    records.set(xattrKey(name), value)
  }
  return records
}

/** `dir/PaxHeaders.0/base`, cut to the field: where a reader without PAX would put the records. */
function paxName(name: Buffer): Buffer {
  const slash = name.lastIndexOf(0x2f)
  return Buffer.concat([name.subarray(0, slash + 1), Buffer.from('PaxHeaders.0/'), name.subarray(slash + 1)])
}

/** What stands behind a content of so many bytes. */
export function paddingOf(size: number): Buffer {
  return ZEROS.subarray(0, (BLOCK - (size % BLOCK)) % BLOCK)
}

const NONE: readonly Buffer[] = []

/** Joins small buffers into chunks of CHUNK bytes; large ones pass as they are. A chunk is never written again once it was handed out. */
class Joiner {
  #chunk = Buffer.allocUnsafeSlow(CHUNK)
  #used = 0

  /** The chunks that are ready. */
  add(bytes: Buffer): readonly Buffer[] {
    if (bytes.length >= CHUNK / 2) return [...this.flush(), bytes]
    const ready = bytes.length > CHUNK - this.#used ? this.flush() : NONE
    bytes.copy(this.#chunk, this.#used)
    this.#used += bytes.length
    return ready
  }

  flush(): readonly Buffer[] {
    if (this.#used === 0) return NONE
    const chunk = this.#chunk.subarray(0, this.#used)
    this.#chunk = Buffer.allocUnsafeSlow(CHUNK)
    this.#used = 0
    return [chunk]
  }
}

function invalid(entry: TarEntry, what: string): TbuildError {
  return new TbuildError('TAR_ENTRY_INVALID', `${JSON.stringify(entry.name.toString())} ${what}`)
}

/** TAR_SIZE_MISMATCH. */
export function sizeChanged(entry: Pick<TarEntry, 'name' | 'size'>, written: number): TbuildError {
  return new TbuildError(
    'TAR_SIZE_MISMATCH',
    `${JSON.stringify(entry.name.toString())} should have ${entry.size} bytes and has ${written} or more`,
    {
      hint: 'the file changed while it was being read',
    },
  )
}

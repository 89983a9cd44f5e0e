/**
 * A tar reader for tests, independent of src/tar: what the engine wrote is judged by other code than its own. The whole archive is in memory.
 * Names are latin1 strings, one character a byte.
 */
export interface TarEntry {
  readonly name: string
  readonly type: 'file' | 'link' | 'symlink' | 'char' | 'block' | 'directory' | 'fifo'
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtime: number
  readonly size: number
  readonly linkname: string
  readonly major: number
  readonly minor: number
  /** By name, without the SCHILY.xattr. prefix. */
  readonly xattrs: ReadonlyMap<string, Buffer>
  readonly data: Buffer
}

const TYPES: Record<string, TarEntry['type']> = {
  '0': 'file',
  '\0': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
  '7': 'file',
}

export function readTar(archive: Buffer): TarEntry[] {
  const entries: TarEntry[] = []
  let pax = new Map<string, Buffer>()
  let longName: string | undefined
  let longLink: string | undefined
  for (let at = 0; at + 512 <= archive.length; ) {
    const block = archive.subarray(at, at + 512)
    if (block.every((byte) => byte === 0)) break
    checkSum(block, at)
    const flag = String.fromCharCode(block[156] as number)
    const paxSize = pax.get('size')
    const size = paxSize && flag !== 'x' ? Number(paxSize.toString('latin1')) : number(block, 124, 12)
    const data = archive.subarray(at + 512, at + 512 + size)
    if (data.length !== size) throw new Error(`tar: truncated at ${at}`)
    at += 512 + Math.ceil(size / 512) * 512
    if (flag === 'x') pax = paxRecords(data)
    else if (flag === 'g') continue
    else if (flag === 'L') longName = text(data, 0, data.length)
    else if (flag === 'K') longLink = text(data, 0, data.length)
    else {
      entries.push(entryOf(block, flag, { pax, size, data, longName, longLink }))
      pax = new Map()
      longName = undefined
      longLink = undefined
    }
  }
  return entries
}

interface Extension {
  pax: Map<string, Buffer>
  size: number
  data: Buffer
  longName: string | undefined
  longLink: string | undefined
}

function entryOf(block: Buffer, flag: string, { pax, size, data, longName, longLink }: Extension): TarEntry {
  const type = TYPES[flag]
  if (type === undefined) throw new Error(`tar: unknown type ${JSON.stringify(flag)}`)
  const record = (key: string) => pax.get(key)?.toString('latin1')
  const numeric = (key: string, start: number, width: number) => (pax.has(key) ? Number(record(key)) : number(block, start, width))
  const prefix = block.toString('latin1', 257, 262) === 'ustar' && block[263] !== 0x20 ? text(block, 345, 155) : ''
  const short = text(block, 0, 100)
  const xattrs = new Map<string, Buffer>()
  for (const [key, value] of pax) if (key.startsWith('SCHILY.xattr.')) xattrs.set(key.slice('SCHILY.xattr.'.length), value)
  return {
    name: record('path') ?? longName ?? (prefix === '' ? short : `${prefix}/${short}`),
    type,
    mode: number(block, 100, 8) & 0o7777,
    uid: numeric('uid', 108, 8),
    gid: numeric('gid', 116, 8),
    mtime: numeric('mtime', 136, 12),
    size,
    linkname: record('linkpath') ?? longLink ?? text(block, 157, 100),
    major: number(block, 329, 8),
    minor: number(block, 337, 8),
    xattrs,
    data,
  }
}

function text(block: Buffer, start: number, length: number): string {
  const end = block.indexOf(0, start)
  return block.toString('latin1', start, end === -1 || end > start + length ? start + length : end)
}

/** Octal digits, or base-256 when the first bit is set (GNU). */
function number(block: Buffer, start: number, width: number): number {
  const field = block.subarray(start, start + width)
  if (((field[0] as number) & 0x80) === 0)
    return Number.parseInt(
      field
        .toString('latin1')
        .replace(/[\0 ]+$/, '')
        .trim() || '0',
      8,
    )
  let value = (field[0] as number) & 0x3f
  for (const byte of field.subarray(1)) value = value * 256 + byte
  return value
}

function checkSum(block: Buffer, at: number): void {
  let sum = 0
  for (let index = 0; index < 512; index += 1) sum += index >= 148 && index < 156 ? 32 : (block[index] as number)
  if (sum !== number(block, 148, 8)) throw new Error(`tar: wrong checksum at ${at}`)
}

function paxRecords(data: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>()
  for (let at = 0; at < data.length; ) {
    const blank = data.indexOf(0x20, at)
    const length = Number(data.toString('latin1', at, blank))
    if (!(length > 0) || blank === -1) throw new Error('tar: broken PAX record')
    const equals = data.indexOf(0x3d, blank)
    records.set(data.toString('latin1', blank + 1, equals), data.subarray(equals + 1, at + length - 1))
    at += length
  }
  return records
}

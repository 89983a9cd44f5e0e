import { corrupt } from './source.ts'

/** The 512-byte header block: POSIX.1-1988 ustar, V7 and GNU, and the last two's numbers in base 256. */
export const BLOCK = 512

export interface Header {
  name: Buffer
  mode: number
  uid: number
  gid: number
  size: number
  mtime: number
  /** A character: '0' file, '5' directory, 'x' PAX … '\0' is V7's file. */
  typeflag: string
  linkname: Buffer
  major: number
  minor: number
}

const SPACE = 0x20

export function isZeroBlock(block: Buffer): boolean {
  for (let index = 0; index < BLOCK; index += 1) if (block[index] !== 0) return false
  return true
}

/** The fields as they stand; throws TAR_CORRUPT for a wrong checksum or number. `offset` is for the message. */
export function decodeHeader(block: Buffer, offset: number): Header {
  verifyChecksum(block, offset)
  const magic = block.toString('latin1', 257, 265)
  const ustar = magic.startsWith('ustar\0')
  const known = ustar || magic === 'ustar  \0'
  const number = (start: number, length: number) => decodeNumber(block.subarray(start, start + length), offset)
  return {
    name: ustar ? prefixedName(block) : text(block, 0, 100),
    mode: number(100, 8),
    uid: number(108, 8),
    gid: number(116, 8),
    size: number(124, 12),
    mtime: number(136, 12),
    typeflag: String.fromCharCode(block[156] as number),
    linkname: text(block, 157, 100),
    major: known ? number(329, 8) : 0,
    minor: known ? number(337, 8) : 0,
  }
}

/** A copy of the bytes before the first NUL: a slice would keep the whole chunk alive. */
export function text(block: Buffer, start: number, length: number): Buffer {
  const end = block.indexOf(0, start)
  return Buffer.from(block.subarray(start, end === -1 || end > start + length ? start + length : end))
}

function prefixedName(block: Buffer): Buffer {
  const name = text(block, 0, 100)
  // star puts times behind a prefix of 131 bytes and says so at the end of the block.
  const prefix = text(block, 345, block.toString('latin1', 508, 512) === 'tar\0' ? 131 : 155)
  return prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name])
}

/** Octal, or base 256 (two's complement) when the first bit is set. The rules of Go's archive/tar: blanks and NULs around are allowed, nothing else. */
export function decodeNumber(field: Buffer, offset: number): number {
  const first = field[0] as number
  const value = first & 0x80 ? decodeBase256(field) : decodeOctal(field)
  if (value === undefined || !Number.isSafeInteger(value)) throw corrupt('invalid number in a header', offset)
  return value
}

function decodeBase256(field: Buffer): number {
  const negative = ((field[0] as number) & 0x40) !== 0
  let value = 0
  for (let index = 0; index < field.length; index += 1) {
    const byte = (negative ? ~(field[index] as number) : (field[index] as number)) & (index === 0 ? 0x7f : 0xff)
    value = value * 256 + byte
  }
  return negative ? -value - 1 : value
}

function decodeOctal(field: Buffer): number | undefined {
  let start = 0
  while (start < field.length && (field[start] === 0 || field[start] === SPACE)) start += 1
  let end = start
  let value = 0
  while (end < field.length && (field[end] as number) >= 0x30 && (field[end] as number) <= 0x37) {
    value = value * 8 + (field[end] as number) - 0x30
    end += 1
  }
  const rest = field[end]
  return rest === undefined || rest === 0 || rest === SPACE ? value : undefined
}

/** The sum of all bytes with the checksum itself as blanks; old tars summed signed bytes. */
function verifyChecksum(block: Buffer, offset: number): void {
  let unsigned = 8 * SPACE
  let signed = unsigned
  for (let index = 0; index < BLOCK; index += 1) {
    if (index === 148) index = 156
    const byte = block[index] as number
    unsigned += byte
    signed += byte < 128 ? byte : byte - 256
  }
  const expected = decodeOctal(block.subarray(148, 156))
  if (expected !== unsigned && expected !== signed) throw corrupt('wrong header checksum (is this a tar archive?)', offset)
}

/** True when a number can stand in an octal field of `length` bytes. */
export function fitsOctal(value: number, length: number): boolean {
  return value >= 0 && value < 8 ** (length - 1)
}

/**
 * A ustar block as Go's archive/tar writes it for PAX: text is cut and made ASCII, a number that does not fit is 0. Whatever that loses
 * must stand in a PAX record before it.
 */
export function encodeHeader(header: Header): Buffer {
  const block = Buffer.alloc(BLOCK)
  ascii(header.name).copy(block, 0, 0, 100)
  writeOctal(block, 100, 8, header.mode)
  writeOctal(block, 108, 8, header.uid)
  writeOctal(block, 116, 8, header.gid)
  writeOctal(block, 124, 12, header.size)
  writeOctal(block, 136, 12, header.mtime)
  block.write(header.typeflag, 156, 'latin1')
  ascii(header.linkname).copy(block, 157, 0, 100)
  block.write('ustar\x0000', 257, 'latin1')
  writeOctal(block, 329, 8, header.major)
  writeOctal(block, 337, 8, header.minor)
  let sum = 8 * SPACE
  for (let index = 0; index < BLOCK; index += 1) sum += block[index] as number
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

function writeOctal(block: Buffer, start: number, length: number, value: number): void {
  block.write((fitsOctal(value, length) ? value : 0).toString(8).padStart(length - 1, '0'), start, 'latin1')
}

export function isAscii(bytes: Buffer): boolean {
  for (let index = 0; index < bytes.length; index += 1) if ((bytes[index] as number) > 0x7f) return false
  return true
}

function ascii(bytes: Buffer): Buffer {
  return isAscii(bytes) ? bytes : (bytes.filter((byte) => byte < 0x80) as Buffer)
}

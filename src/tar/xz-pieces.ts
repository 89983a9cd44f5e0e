import type { Bytes } from '../store/types.ts'
import { ByteSource } from './source.ts'

/** The xz file format 1.1.0, 2.1.1.1 and 2.1.2.2. */
const HEADER_MAGIC = 'fd377a585a00'
const FOOTER_MAGIC = 'YZ'

/** 3.4: bytes of a check, by its id. */
const CHECK_SIZES = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64] as const

/**
 * The streams of an xz file, each cut where its parts end: each header, each LZMA2 chunk, each check, the index. Nothing is decoded. What does not go on as a file of
 * xz must is an error of its own behind the last whole piece; the decoder would drop what it decoded in the same call as it met it.
 */
export async function* xzStreams(bytes: Bytes): AsyncGenerator<AsyncGenerator<Buffer>> {
  const source = new ByteSource(bytes, truncated)
  try {
    for (let start = await streamStart(source); start !== undefined; start = await streamStart(source)) yield pieces(source, start)
  } finally {
    await source.close()
  }
}

async function* pieces(source: ByteSource, start: Buffer): AsyncGenerator<Buffer> {
  yield start
  const check = CHECK_SIZES[(start[7] as number) & 15] as number
  for (;;) {
    const size = await need(source, 1)
    if (size[0] === 0) break
    yield Buffer.concat([size, await need(source, (size[0] as number) * 4 + 3)])
    yield* blockData(source)
    if (check > 0) yield await need(source, check)
  }
  yield* index(source)
}

function truncated(): Error {
  return new Error('unexpected end of data')
}

async function need(source: ByteSource, count: number): Promise<Buffer> {
  const bytes = await source.read(count)
  if (bytes === undefined) throw truncated()
  return bytes
}

/** The 12 bytes that a stream begins with; padding, fours of zeros between streams, is passed over. Undefined at the end of the file. */
async function streamStart(source: ByteSource): Promise<Buffer | undefined> {
  for (let padding = source.offset > 0; ; ) {
    const head = await source.read(4)
    if (head === undefined) return undefined
    if (padding && head.readUInt32LE(0) === 0) continue
    padding = false
    const start = Buffer.concat([head, await need(source, 8)])
    if (start.toString('hex', 0, 6) !== HEADER_MAGIC) throw new Error('not an xz stream')
    return start
  }
}

/** Chunks of LZMA2 up to the control byte 0, and the padding to a multiple of four. */
async function* blockData(source: ByteSource): AsyncGenerator<Buffer> {
  let length = 0
  for (;;) {
    const control = await need(source, 1)
    const first = control[0] as number
    length += 1
    if (first === 0) break
    if (first > 2 && first < 0x80) throw new Error('bad LZMA2 chunk')
    // Unpacked: its size. Packed: the low half of its unpacked size, then its packed size, then perhaps the properties.
    const sizes = await need(source, first < 0x80 ? 2 : first < 0xc0 ? 4 : 5)
    const data = await need(source, sizes.readUInt16BE(first < 0x80 ? 0 : 2) + 1)
    length += sizes.length + data.length
    yield Buffer.concat([control, sizes, data])
  }
  yield Buffer.concat([Buffer.alloc(1), await needSome(source, (4 - (length % 4)) % 4)])
}

/** Two numbers for each block, as many bytes as they take, then the footer. */
async function* index(source: ByteSource): AsyncGenerator<Buffer> {
  const start = source.offset - 1
  yield Buffer.alloc(1)
  const count = await number(source)
  yield count.bytes
  for (let left = count.value * 2; left > 0; left -= 1) yield (await number(source)).bytes
  const padding = (4 - ((source.offset - start) % 4)) % 4
  // The padding and the CRC-32 of the index.
  yield await need(source, padding + 4)
  const footer = await need(source, 12)
  if (footer.toString('latin1', 10) !== FOOTER_MAGIC) throw new Error('not the end of an xz stream')
  yield footer
}

async function needSome(source: ByteSource, count: number): Promise<Buffer> {
  return count === 0 ? Buffer.alloc(0) : need(source, count)
}

/** 1.2: seven bits a byte, the lowest first, nine bytes at most. */
async function number(source: ByteSource): Promise<{ value: number; bytes: Buffer }> {
  const parts: Buffer[] = []
  let value = 0
  for (let scale = 1; parts.length < 9; scale *= 128) {
    const byte = await need(source, 1)
    parts.push(byte)
    value += ((byte[0] as number) & 0x7f) * scale
    if ((byte[0] as number) < 0x80) return { value, bytes: Buffer.concat(parts) }
  }
  throw new Error('bad number in an xz index')
}

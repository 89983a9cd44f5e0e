import type { Bytes } from '../store/types.ts'
import { asBuffer } from './source.ts'

// The format has no specification; this follows the description in Wikipedia's "bzip2" and what bzip2 -t accepts.
const BLOCK_MAGIC = 0x314159265359
const END_MAGIC = 0x177245385090

/** No compressed block is longer: 900000 symbols of at most 20 bits, and tables. */
const MAX_COMPRESSED = 3 * 1024 * 1024

const SYMBOLS_PER_SELECTOR = 50
const MAX_CODE_LENGTH = 20

/** All streams of a bzip2 file, one after the other. A whole compressed block is gathered, then decoded at one go. */
export async function* bunzip2(bytes: Bytes, enough: () => boolean): AsyncGenerator<Uint8Array> {
  const input = bytes[Symbol.asyncIterator]()
  const reader = new BitReader()
  let ended = false
  const gather = async () => {
    while (!ended && reader.available < MAX_COMPRESSED) {
      const next = await input.next()
      if (next.done) ended = true
      else reader.append(asBuffer(next.value))
    }
  }
  try {
    for (await gather(); reader.available > 0; await gather()) {
      const blockSize = streamHeader(reader)
      let combined = 0
      for (let magic = reader.bits48(); magic !== END_MAGIC; magic = reader.bits48()) {
        if (magic !== BLOCK_MAGIC) throw new Error('bad bzip2 block')
        const expected = reader.bits(32)
        const output = decodeBlock(reader, blockSize)
        // Before it is compared, as from Go's reader: what an archive has no need for does not spoil it.
        yield output
        const crc = blockCrc(output)
        if (crc !== expected) throw new Error('bzip2 block checksum differs')
        combined = (((combined << 1) | (combined >>> 31)) ^ crc) >>> 0
        await gather()
      }
      if (reader.bits(32) !== combined) throw new Error('bzip2 stream checksum differs')
      reader.align()
      if (enough()) return
    }
  } finally {
    if (!ended) await input.return?.()
  }
}

function streamHeader(reader: BitReader): number {
  const level = reader.bits(24) === 0x425a68 ? reader.bits(8) - 0x30 : 0
  if (level < 1 || level > 9) throw new Error('not a bzip2 stream')
  return level * 100_000
}

/** Most significant bit first. */
class BitReader {
  #data: Buffer = Buffer.alloc(0)
  #parts: Buffer[] = []
  #pending = 0
  #position = 0
  #bits = 0
  #count = 0

  get available(): number {
    return this.#data.length - this.#position + this.#pending
  }

  append(chunk: Buffer): void {
    this.#parts.push(chunk)
    this.#pending += chunk.length
  }

  bits(count: number): number {
    if (count > 16) return this.bits(count - 16) * 65536 + this.bits(16)
    while (this.#count < count) {
      if (this.#position === this.#data.length) this.#refill()
      this.#bits = ((this.#bits << 8) | (this.#data[this.#position++] as number)) & 0xffffff
      this.#count += 8
    }
    this.#count -= count
    return (this.#bits >>> this.#count) & ((1 << count) - 1)
  }

  bits48(): number {
    return this.bits(24) * 2 ** 24 + this.bits(24)
  }

  align(): void {
    this.#count = 0
  }

  #refill(): void {
    if (this.#pending === 0) throw new Error('unexpected end of data')
    this.#data = Buffer.concat(this.#parts)
    this.#parts = []
    this.#pending = 0
    this.#position = 0
  }
}

function decodeBlock(reader: BitReader, blockSize: number): Buffer {
  if (reader.bits(1) !== 0) throw new Error('randomised bzip2 blocks (bzip2 0.9.0 and older) are not supported')
  const origin = reader.bits(24)
  const symbols = usedBytes(reader)
  const { selectors, tables } = readTables(reader, symbols.length + 2)
  const { links, length } = readSymbols(reader, blockSize, symbols, selectors, tables)
  if (origin >= length) throw new Error('bad bzip2 block origin')
  return expandRuns(links, length, origin)
}

function usedBytes(reader: BitReader): number[] {
  const groups = reader.bits(16)
  const used: number[] = []
  for (let group = 0; group < 16; group += 1) {
    if ((groups & (0x8000 >> group)) === 0) continue
    const members = reader.bits(16)
    for (let bit = 0; bit < 16; bit += 1) if (members & (0x8000 >> bit)) used.push(group * 16 + bit)
  }
  if (used.length === 0) throw new Error('empty bzip2 block')
  return used
}

/** A canonical Huffman code: for each length the first code beyond it and where its symbols begin. */
interface Table {
  readonly limit: Int32Array
  readonly base: Int32Array
  readonly permutation: Uint16Array
  readonly shortest: number
}

function readTables(reader: BitReader, alphabet: number): { selectors: Uint8Array; tables: Table[] } {
  const count = reader.bits(3)
  const selectorCount = reader.bits(15)
  if (count < 2 || count > 6 || selectorCount === 0) throw new Error('bad bzip2 Huffman groups')
  const order = [0, 1, 2, 3, 4, 5]
  const selectors = new Uint8Array(selectorCount)
  for (let index = 0; index < selectorCount; index += 1) {
    let position = 0
    while (reader.bits(1) === 1) if (++position >= count) throw new Error('bad bzip2 selector')
    const [table] = order.splice(position, 1) as [number]
    order.unshift(table)
    selectors[index] = table
  }
  const tables: Table[] = []
  for (let index = 0; index < count; index += 1) tables.push(readTable(reader, alphabet))
  return { selectors, tables }
}

function readTable(reader: BitReader, alphabet: number): Table {
  const lengths = new Uint8Array(alphabet)
  const counts = new Int32Array(MAX_CODE_LENGTH + 2)
  let length = reader.bits(5)
  for (let symbol = 0; symbol < alphabet; symbol += 1) {
    while (reader.bits(1) === 1) {
      length += reader.bits(1) === 0 ? 1 : -1
      if (length < 1 || length > MAX_CODE_LENGTH) throw new Error('bad bzip2 code length')
    }
    if (length < 1 || length > MAX_CODE_LENGTH) throw new Error('bad bzip2 code length')
    lengths[symbol] = length
    counts[length] = (counts[length] as number) + 1
  }
  const limit = new Int32Array(MAX_CODE_LENGTH + 1).fill(-1)
  const base = new Int32Array(MAX_CODE_LENGTH + 1)
  const permutation = new Uint16Array(alphabet)
  let code = 0
  let index = 0
  for (let size = 1; size <= MAX_CODE_LENGTH; size += 1) {
    base[size] = index - code
    for (let symbol = 0; symbol < alphabet; symbol += 1) if (lengths[symbol] === size) permutation[index++] = symbol
    code += counts[size] as number
    limit[size] = code - 1
    code <<= 1
  }
  return { limit, base, permutation, shortest: lengths.reduce((a, b) => Math.min(a, b)) }
}

function readSymbol(reader: BitReader, { limit, base, permutation, shortest }: Table): number {
  let code = reader.bits(shortest)
  let size = shortest
  while (code > (limit[size] as number)) {
    if (++size > MAX_CODE_LENGTH) throw new Error('bad bzip2 code')
    code = (code << 1) | reader.bits(1)
  }
  const symbol = permutation[code + (base[size] as number)]
  if (symbol === undefined) throw new Error('bad bzip2 code')
  return symbol
}

/** Huffman, runs and move-to-front undone; the low byte of a link is the byte, the rest where the inverse transform goes next. */
function readSymbols(
  reader: BitReader,
  blockSize: number,
  symbols: number[],
  selectors: Uint8Array,
  tables: readonly Table[],
): { links: Uint32Array; length: number } {
  const links = new Uint32Array(blockSize)
  const end = symbols.length + 1
  const front = Uint8Array.from(symbols)
  const counts = new Uint32Array(256)
  let length = 0
  let run = 0
  let weight = 1
  for (let group = 0; ; group += 1) {
    const table = tables[selectors[group] ?? -1]
    if (table === undefined) throw new Error('bad bzip2 selector')
    for (let index = 0; index < SYMBOLS_PER_SELECTOR; index += 1) {
      const symbol = readSymbol(reader, table)
      if (symbol < 2) {
        run += weight << symbol
        weight <<= 1
        if (run > blockSize) throw new Error('bzip2 block too long')
        continue
      }
      if (length + run + (symbol === end ? 0 : 1) > blockSize) throw new Error('bzip2 block too long')
      const byte = front[0] as number
      if (run > 0) {
        links.fill(byte, length, length + run)
        counts[byte] = (counts[byte] as number) + run
        length += run
        run = 0
        weight = 1
      }
      if (symbol === end) return { links: linked(links, counts, length), length }
      const moved = front[symbol - 1] as number
      front.copyWithin(1, 0, symbol - 1)
      front[0] = moved
      links[length++] = moved
      counts[moved] = (counts[moved] as number) + 1
    }
  }
}

/** The inverse Burrows-Wheeler transform as a list: each entry gets, above its byte, the place of its successor. */
function linked(links: Uint32Array, counts: Uint32Array, length: number): Uint32Array {
  let sum = 0
  for (let byte = 0; byte < 256; byte += 1) {
    const count = counts[byte] as number
    counts[byte] = sum
    sum += count
  }
  for (let index = 0; index < length; index += 1) {
    const byte = (links[index] as number) & 0xff
    const place = counts[byte] as number
    counts[byte] = place + 1
    links[place] = (links[place] as number) | (index << 8)
  }
  return links
}

/** Follows the list and undoes the first run-length step: four equal bytes are followed by a count of more. */
function expandRuns(links: Uint32Array, length: number, origin: number): Buffer {
  let output = Buffer.allocUnsafe(length + (length >> 2) + 1024)
  let written = 0
  let entry = links[(links[origin] as number) >>> 8] as number
  let previous = -1
  let equal = 0
  for (let index = 0; index < length; index += 1) {
    const byte = entry & 0xff
    entry = links[entry >>> 8] as number
    const count = equal === 4 ? byte : 1
    if (written + count > output.length) output = Buffer.concat([output, Buffer.allocUnsafe(output.length)])
    if (equal === 4) {
      output.fill(previous, written, written + count)
      equal = 0
      previous = -1
    } else {
      output[written] = byte
      equal = byte === previous ? equal + 1 : 1
      previous = byte
    }
    written += count
  }
  return output.subarray(0, written)
}

const CRC = crcTable()

/** CRC-32 with the most significant bit first, unlike gzip's. */
function blockCrc(data: Buffer): number {
  let crc = 0xffffffff
  for (let index = 0; index < data.length; index += 1) crc = (crc << 8) ^ (CRC[((crc >>> 24) ^ (data[index] as number)) & 0xff] as number)
  return ~crc >>> 0
}

function crcTable(): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte << 24
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1
    return crc
  })
}

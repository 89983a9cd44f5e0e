import { TbuildError } from '../base/errors.ts'
import { BLOCK, decodeNumber } from './header.ts'
import { type PaxRecords, paxInteger } from './pax.ts'
import { type ByteSource, corrupt } from './source.ts'

/** GNU tar manual, "Storing Sparse Files". Data regions of a file whose holes are not stored; ascending, not overlapping. */
export interface SparseMap {
  /** Bytes of the file with its holes. */
  readonly size: number
  readonly regions: readonly Region[]
}

interface Region {
  readonly start: number
  readonly length: number
}

const MAX = Number.MAX_SAFE_INTEGER

/** Old GNU format (type `S`): four regions in the header, 21 in each block that follows. Returns the bytes of those blocks too. */
export async function readGnuSparse(source: ByteSource, block: Buffer, maxRegions: number): Promise<{ size: number; regions: Region[] }> {
  const regions: Region[] = []
  const size = decodeNumber(block.subarray(483, 495), source.offset)
  let table = block.subarray(386, 482)
  let extended = block[482] !== 0
  for (;;) {
    for (let index = 0; index + 24 <= table.length && table[index] !== 0; index += 24) {
      if (regions.length === maxRegions) throw tooManyRegions(maxRegions)
      const start = decodeNumber(table.subarray(index, index + 12), source.offset)
      regions.push({ start, length: decodeNumber(table.subarray(index + 12, index + 24), source.offset) })
    }
    if (!extended) return { size, regions }
    const next = await source.read(BLOCK)
    if (next === undefined) throw corrupt('the archive ends in a sparse map', source.offset)
    table = next.subarray(0, 504)
    extended = next[504] !== 0
  }
}

/** PAX forms 0.0 (repeated keywords) and 0.1 (one list). Undefined when the records describe no such file; 1.0 keeps its map in the data. */
export function paxSparseVersion(records: ReadonlyMap<string, Buffer>, offset: number): '0.x' | '1.0' | undefined {
  const major = records.get('GNU.sparse.major')?.toString('latin1')
  const minor = records.get('GNU.sparse.minor')?.toString('latin1')
  if (major === undefined && minor === undefined)
    return records.has('GNU.sparse.map') || records.has('GNU.sparse.offset') ? '0.x' : undefined
  if (major === '0' && (minor === '0' || minor === '1')) return '0.x'
  if (major === '1' && minor === '0') return '1.0'
  throw new TbuildError('TAR_UNSUPPORTED', `unsupported GNU sparse format ${major}.${minor} at byte ${offset} of the archive`)
}

/** The file's size with its holes, as the PAX records give it. */
export function paxSparseSize(records: ReadonlyMap<string, Buffer>, offset: number): number {
  const value = records.get('GNU.sparse.realsize') ?? records.get('GNU.sparse.size')
  if (value === undefined) throw corrupt('a sparse file without its size', offset)
  return paxInteger(value, 'GNU.sparse.size', MAX, offset)
}

export function paxSparseRegions(records: PaxRecords, maxRegions: number, offset: number): Region[] {
  const list = records.findLast(([key]) => key === 'GNU.sparse.map')?.[1]
  const numbers =
    list === undefined
      ? records.filter(([key]) => key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes').map(([, value]) => value.toString('latin1'))
      : list.toString('latin1').split(',')
  return pairs(numbers, maxRegions, offset)
}

/** 1.0: a count and that many pairs, a number a line, padded to a block, before the data. Returns the bytes that it took. */
export async function readSparseMap(
  source: ByteSource,
  available: number,
  maxRegions: number,
): Promise<{ regions: Region[]; bytes: number }> {
  const numbers: string[] = []
  let wanted = 1
  let rest = ''
  let bytes = 0
  while (numbers.length < wanted) {
    const block = bytes + BLOCK <= available ? await source.read(BLOCK) : undefined
    if (block === undefined) throw corrupt('the archive ends in a sparse map', source.offset)
    bytes += BLOCK
    const lines = (rest + block.toString('latin1')).split('\n')
    rest = lines.pop() as string
    for (const line of lines) if (numbers.length < wanted) numbers.push(line)
    if (wanted === 1 && numbers.length > 0) {
      const count = decimal(numbers[0] as string, source.offset)
      if (count > maxRegions) throw tooManyRegions(maxRegions)
      wanted = 1 + 2 * count
      for (const line of lines.slice(1)) if (numbers.length < wanted) numbers.push(line)
    }
    if (numbers.length < wanted && rest.length > 20) throw corrupt('malformed sparse map', source.offset)
  }
  return { regions: pairs(numbers.slice(1), maxRegions, source.offset), bytes }
}

/** Go's rules: regions ascend, do not overlap, end within the file, and hold exactly the bytes that are stored. */
export function validateSparse(map: SparseMap, stored: number, offset: number): SparseMap {
  let position = 0
  let total = 0
  for (const { start, length } of map.regions) {
    const end = start + length
    if (start < position || length < 0 || end > map.size || !Number.isSafeInteger(end)) throw corrupt('invalid sparse map', offset)
    position = end
    total += length
  }
  if (map.size < 0 || total !== stored) throw corrupt('the sparse map does not fit the stored bytes', offset)
  return map
}

const ZEROS = Buffer.alloc(64 * 1024)

/** The file with its holes as zeros. `stored` yields the regions' bytes one after the other. */
export async function* expandSparse(map: SparseMap, stored: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const iterator = stored[Symbol.asyncIterator]()
  let chunk: Buffer = ZEROS.subarray(0, 0)
  let position = 0
  for (const { start, length } of map.regions) {
    yield* zeros(start - position)
    for (let missing = length; missing > 0; ) {
      if (chunk.length === 0) chunk = (await iterator.next()).value as Buffer
      const part = chunk.subarray(0, missing)
      chunk = chunk.subarray(part.length)
      missing -= part.length
      yield part
    }
    position = start + length
  }
  yield* zeros(map.size - position)
}

function* zeros(count: number): Generator<Buffer> {
  for (let missing = count; missing > 0; missing -= ZEROS.length) yield missing < ZEROS.length ? ZEROS.subarray(0, missing) : ZEROS
}

function pairs(numbers: readonly string[], maxRegions: number, offset: number): Region[] {
  if (numbers.length === 1 && numbers[0] === '') return []
  if (numbers.length % 2 !== 0) throw corrupt('malformed sparse map', offset)
  if (numbers.length / 2 > maxRegions) throw tooManyRegions(maxRegions)
  const regions: Region[] = []
  for (let index = 0; index < numbers.length; index += 2) {
    regions.push({ start: decimal(numbers[index] as string, offset), length: decimal(numbers[index + 1] as string, offset) })
  }
  return regions
}

function decimal(text: string, offset: number): number {
  return paxInteger(Buffer.from(text, 'latin1'), 'sparse number', MAX, offset)
}

function tooManyRegions(maxRegions: number): TbuildError {
  return new TbuildError('TAR_LIMIT', `a sparse file in the archive has more than ${maxRegions} regions`)
}

import * as zlib from 'node:zlib'
import { TbuildError } from '../base/errors.ts'
import type { Bytes } from '../store/types.ts'
import { ByteSource } from './source.ts'
import { inPieces, throughTransform } from './transform.ts'
import { Xxh64 } from './xxh64.ts'

/** The window that a decoder must hold; 2^27 is what the zstd command accepts without asking. A frame may claim 2 GiB and more. */
const MAX_WINDOW = 2 ** 27

/** RFC 8878, 3.1.1.2.4. */
const MAX_BLOCK = 128 * 1024

const FRAME = 0xfd2fb528
const SKIPPABLE = 0x184d2a50

/** Newer Nodes have zstd in zlib; typed here because the oldest supported does not. */
type ZlibZstd = { createZstdDecompress?: (options: { chunkSize: number }) => import('node:stream').Transform }

/**
 * All frames of a stream (RFC 8878), skippable ones left out, each given to a decoder of its own: Node's where it has one, otherwise fzstd, which compares neither
 * checksum nor size, so that they are compared here. Frames are walked here because their window is checked before a decoder allocates it, and because not every decoder goes on to the next frame.
 */
export async function* unzstd(bytes: Bytes, errorsLast: boolean, enough: () => boolean): AsyncGenerator<Uint8Array> {
  const source = new ByteSource(bytes, () => new Error('unexpected end of data'))
  const through = errorsLast ? inPieces : throughTransform
  const native = (zlib as ZlibZstd).createZstdDecompress
  try {
    for (let magic = await source.read(4); magic !== undefined; magic = await source.read(4)) {
      const number = magic.readUInt32LE(0)
      if ((number & 0xfffffff0) >>> 0 === SKIPPABLE) await source.skip((await need(source, 4)).readUInt32LE(0))
      else if (number !== FRAME) throw new Error('not a zstd frame')
      else {
        const header = await frameHeader(source)
        const pieces = frame(source, magic, header)
        yield* native === undefined ? decodeFrame(pieces, header) : through(pieces, native({ chunkSize: MAX_BLOCK }))
        if (enough()) return
      }
    }
  } finally {
    await source.close()
  }
}

interface FrameHeader {
  /** As they are in the stream, without the magic number. */
  readonly bytes: Buffer
  readonly checksum: boolean
  /** Of the content, when it is told. */
  readonly size: bigint | undefined
}

/** The bytes of one frame, its header first, then a block at a time, then its checksum by itself, so that what that spoils is not a block. */
async function* frame(source: ByteSource, magic: Buffer, header: FrameHeader): AsyncGenerator<Buffer> {
  yield Buffer.concat([magic, header.bytes])
  for (let last = false; !last; ) {
    const block = await need(source, 3)
    const bits = block.readUIntLE(0, 3)
    const type = (bits >> 1) & 3
    const size = bits >> 3
    last = (bits & 1) === 1
    if (type === 3 || size > MAX_BLOCK) throw new Error('invalid zstd block')
    const stored = type === 1 ? 1 : size
    yield stored === 0 ? block : Buffer.concat([block, await need(source, stored)])
  }
  if (header.checksum) yield await need(source, 4)
}

/** RFC 8878, 3.1.1.1: descriptor, window, dictionary id, content size. */
async function frameHeader(source: ByteSource): Promise<FrameHeader> {
  const descriptor = (await need(source, 1))[0] as number
  const single = (descriptor & 0x20) !== 0
  const sizeLength = [single ? 1 : 0, 2, 4, 8][descriptor >> 6] as number
  const dictionaryLength = [0, 1, 2, 4][descriptor & 3] as number
  const rest = await need(source, (single ? 0 : 1) + dictionaryLength + sizeLength)
  const size = sizeLength === 0 ? undefined : contentSize(rest.subarray(rest.length - sizeLength))
  const exponent = (rest[0] as number) >> 3
  const window = single ? (size as bigint) : BigInt(2 ** (10 + exponent) * (1 + ((rest[0] as number) & 7) / 8))
  if (window > MAX_WINDOW) {
    throw new TbuildError('TAR_LIMIT', `a zstd frame asks for a window of ${window} bytes, more than ${MAX_WINDOW}, and is refused`)
  }
  if (rest.subarray(single ? 0 : 1, (single ? 0 : 1) + dictionaryLength).some((byte) => byte !== 0))
    throw new Error('the frame needs a dictionary')
  return { bytes: Buffer.concat([Buffer.from([descriptor]), rest]), checksum: (descriptor & 4) !== 0, size }
}

function contentSize(bytes: Buffer): bigint {
  if (bytes.length === 8) return bytes.readBigUInt64LE(0)
  return BigInt(bytes.readUIntLE(0, bytes.length) + (bytes.length === 2 ? 256 : 0))
}

/** RFC 8878, 3.1.1: the checksum is the low half of the content's XXH64. */
async function* decodeFrame(pieces: AsyncIterable<Buffer>, { checksum, size }: FrameHeader): AsyncGenerator<Uint8Array> {
  const { Decompress } = await import('fzstd')
  const hash = checksum ? new Xxh64() : undefined
  let found = 0
  const ready: Uint8Array[] = []
  const decoder = new Decompress((chunk) => {
    if (chunk.length === 0) return
    found += chunk.length
    hash?.update(chunk)
    ready.push(chunk)
  })
  const decoded = () => ready.splice(0)
  let last: Buffer = Buffer.alloc(0)
  for await (const piece of pieces) {
    decoder.push(piece)
    yield* decoded()
    last = piece
  }
  // A frame of less than 18 bytes is decoded only when it is known to be whole.
  decoder.push(new Uint8Array(0), true)
  yield* decoded()
  if (size !== undefined && BigInt(found) !== size) throw new Error('the content has not the size that its frame tells')
  if (hash !== undefined && BigInt.asUintN(32, hash.digest()) !== BigInt(last.readUInt32LE(0))) throw new Error('the checksum differs')
}

async function need(source: ByteSource, count: number): Promise<Buffer> {
  const bytes = count === 0 ? Buffer.alloc(0) : await source.read(count)
  if (bytes === undefined) throw new Error('unexpected end of data')
  return bytes
}

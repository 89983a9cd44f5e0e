import { TbuildError } from '../base/errors.ts'
import { sys, type ZstdDecoder } from '../base/sys.ts'
import type { Bytes } from '../store/types.ts'
import { ByteSource } from './source.ts'

/** Of the window that a decoder must hold; 2^27 is what the zstd command accepts without asking. A frame may claim 2 GiB and more. */
const WINDOW_LOG = 27

/** RFC 8878, 3.1.1.2.4. */
const MAX_BLOCK = 128 * 1024

/** Bytes that another thread makes before this one is asked; and pieces, since a frame may hold nothing. */
const OUTPUT = 1024 * 1024
const MAX_PIECES = 1024

const FRAME = 0xfd2fb528
const SKIPPABLE = 0x184d2a50

/** What the decoder takes at once: what is wrong with it spoils nothing before it. */
interface Piece {
  readonly bytes: Buffer
  /** Bytes that it makes at most. */
  readonly room: number
}

/**
 * All frames of a stream (RFC 8878), skippable ones left out, decoded on another thread while their reader is at what they made before. What stands before an error comes
 * out before it is thrown. With `errorsLast` `enough` is asked behind each frame; otherwise one call decodes many of them, when they are small.
 */
export async function* unzstd(bytes: Bytes, errorsLast: boolean, enough: () => boolean): AsyncGenerator<Uint8Array> {
  const frames = new Frames(bytes)
  const decoder = sys().zstdDecoder(WINDOW_LOG)
  let running: Promise<Decoded> | undefined
  let isAsking = false
  try {
    for (;;) {
      const pieces = isAsking ? [] : frames.atHand(errorsLast)
      const made = await running
      running = undefined
      if (pieces.length > 0 && typeof made?.problem !== 'string') running = decode(decoder, pieces)
      if (made !== undefined && made.bytes.length > 0) yield made.bytes
      if (typeof made?.problem === 'string') throw new Error(made.problem)
      if (running !== undefined) isAsking = errorsLast && frames.isBetween
      else if (isAsking && enough()) return
      else if (isAsking) isAsking = false
      else if (!(await frames.more())) return
    }
  } finally {
    await frames.close()
  }
}

interface Decoded {
  readonly bytes: Buffer
  readonly problem: string | null
}

async function decode(decoder: ZstdDecoder, pieces: readonly Piece[]): Promise<Decoded> {
  const output = Buffer.allocUnsafeSlow(pieces.reduce((sum, { room }) => sum + room, 0))
  const inputs = pieces.map(({ bytes }) => bytes)
  const [size, problem] = await sys().zstdDecode(decoder, inputs, output)
  return { bytes: output.subarray(0, size), problem }
}

/** Where the stream is: between frames, or before a part of one. */
type Place = 'frame' | 'skipped' | 'block' | 'checksum'

/** Frames cut into pieces. They are walked here because their window is checked before a decoder allocates it, and so that each piece is decoded by itself. */
class Frames {
  readonly #source: ByteSource
  #place: Place = 'frame'
  /** Of the frame that is read. */
  #hasChecksum = false
  #blockRoom = MAX_BLOCK
  /** Bytes of a skippable frame that are left. */
  #skipped = 0
  /** Bytes that must be at hand before anything more can be cut. */
  #needed = 0
  /** To be thrown when all that stands before it is out. */
  #problem: unknown

  constructor(bytes: Bytes) {
    this.#source = new ByteSource(bytes, truncated)
  }

  get isBetween(): boolean {
    return this.#place === 'frame'
  }

  close(): Promise<void> {
    return this.#source.close()
  }

  /** Pieces of what is at hand: up to the end of a frame when `single`, otherwise as many as one call decodes. */
  atHand(single: boolean): Piece[] {
    const pieces: Piece[] = []
    try {
      for (let room = 0; room < OUTPUT && pieces.length < MAX_PIECES; ) {
        const piece = this.#next()
        if (piece === undefined) break
        pieces.push(piece)
        room += piece.room
        if (single && this.isBetween) break
      }
    } catch (error) {
      this.#problem = error
    }
    return pieces
  }

  /** Waits until there is more; false at the end of the stream. */
  async more(): Promise<boolean> {
    if (this.#problem !== undefined) throw this.#problem
    const found = await this.#source.peek(this.#needed)
    if (found.length === 0 && this.isBetween) return false
    if (found.length < this.#needed) throw truncated()
    return true
  }

  /** Undefined when it is not at hand. */
  #next(): Piece | undefined {
    while (this.#place === 'frame' || this.#place === 'skipped') {
      if (this.#place === 'skipped' && !this.#skip()) return undefined
      const magic = this.#ready(4)?.readUInt32LE(0)
      if (magic === undefined) return undefined
      if (magic === FRAME) return this.#header()
      if ((magic & 0xfffffff0) >>> 0 !== SKIPPABLE) throw new Error('not a zstd frame')
      if (this.#ready(8) === undefined) return undefined
      this.#skipped = (this.#source.take(8) as Buffer).readUInt32LE(4)
      this.#place = 'skipped'
    }
    return this.#place === 'block' ? this.#block() : this.#checksum()
  }

  /** So many bytes, if they are at hand; they stay there. */
  #ready(count: number): Buffer | undefined {
    this.#needed = count
    const found = this.#source.ready(count)
    return found.length === count ? found : undefined
  }

  #piece(count: number, room: number, next: Place): Piece | undefined {
    if (this.#ready(count) === undefined) return undefined
    this.#place = next
    return { bytes: this.#source.take(count) as Buffer, room }
  }

  #skip(): boolean {
    for (let part = this.#source.take(this.#skipped); this.#skipped > 0 && part !== undefined; part = this.#source.take(this.#skipped))
      this.#skipped -= part.length
    this.#needed = 1
    if (this.#skipped > 0) return false
    this.#place = 'frame'
    return true
  }

  /** RFC 8878, 3.1.1.1: magic number, descriptor, window, dictionary id, content size. */
  #header(): Piece | undefined {
    const descriptor = this.#ready(5)?.[4]
    if (descriptor === undefined) return undefined
    const isSingle = (descriptor & 0x20) !== 0
    const sizeLength = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6] as number
    const dictionaryLength = [0, 1, 2, 4][descriptor & 3] as number
    const start = isSingle ? 5 : 6
    const length = start + dictionaryLength + sizeLength
    const bytes = this.#ready(length)
    if (bytes === undefined) return undefined
    const size = sizeLength === 0 ? undefined : contentSize(bytes.subarray(length - sizeLength))
    checkWindow(isSingle ? (size as bigint) : windowOf(bytes[5] as number))
    if (bytes.subarray(start, start + dictionaryLength).some((byte) => byte !== 0)) throw new Error('the frame needs a dictionary')
    this.#hasChecksum = (descriptor & 4) !== 0
    this.#blockRoom = size === undefined || size > MAX_BLOCK ? MAX_BLOCK : Number(size)
    return this.#piece(length, 0, 'block')
  }

  /** RFC 8878, 3.1.1.2. */
  #block(): Piece | undefined {
    const bits = this.#ready(3)?.readUIntLE(0, 3)
    if (bits === undefined) return undefined
    const type = (bits >> 1) & 3
    const size = bits >> 3
    if (type === 3 || size > MAX_BLOCK) throw new Error('invalid zstd block')
    const isLast = (bits & 1) === 1
    return this.#piece(3 + (type === 1 ? 1 : size), this.#blockRoom, !isLast ? 'block' : this.#hasChecksum ? 'checksum' : 'frame')
  }

  #checksum(): Piece | undefined {
    return this.#piece(4, 0, 'frame')
  }
}

/** RFC 8878, 3.1.1.1.2. */
function windowOf(descriptor: number): bigint {
  return BigInt(2 ** (10 + (descriptor >> 3)) * (1 + (descriptor & 7) / 8))
}

function checkWindow(window: bigint): void {
  if (window <= 2 ** WINDOW_LOG) return
  throw new TbuildError('TAR_LIMIT', `a zstd frame asks for a window of ${window} bytes, more than ${2 ** WINDOW_LOG}, and is refused`)
}

function contentSize(bytes: Buffer): bigint {
  if (bytes.length === 8) return bytes.readBigUInt64LE(0)
  return BigInt(bytes.readUIntLE(0, bytes.length) + (bytes.length === 2 ? 256 : 0))
}

function truncated(): Error {
  return new Error('unexpected end of data')
}

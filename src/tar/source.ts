import { TbuildError } from '../base/errors.ts'
import type { Bytes } from '../store/types.ts'

const EMPTY = Buffer.alloc(0)

/** What is wrong with an archive, and where. */
export function corrupt(message: string, offset: number): TbuildError {
  return new TbuildError('TAR_CORRUPT', `corrupt tar archive at byte ${offset}: ${message}`)
}

/** A stream of chunks of any size, read by counts of bytes. Slices of the chunks are handed out, nothing is copied unless it spans two. */
export class ByteSource {
  readonly #iterator: AsyncIterator<Uint8Array>
  #chunk: Buffer = EMPTY
  #ended = false
  readonly #truncated: (offset: number) => Error
  /** Bytes handed out or skipped so far. */
  offset = 0

  /** `truncated` makes the error for a stream that ends where more must follow. */
  constructor(
    bytes: Bytes,
    truncated: (offset: number) => Error = (offset) => corrupt('the archive ends in the middle of a member', offset),
  ) {
    this.#iterator = bytes[Symbol.asyncIterator]()
    this.#truncated = truncated
  }

  /** Up to `max` bytes of what is at hand; undefined when nothing is: then `fill`. */
  take(max: number): Buffer | undefined {
    if (this.#chunk.length === 0) return undefined
    const part = this.#chunk.length <= max ? this.#chunk : this.#chunk.subarray(0, max)
    this.#chunk = part === this.#chunk ? EMPTY : this.#chunk.subarray(max)
    this.offset += part.length
    return part
  }

  /** Exactly `count` bytes when they lie in the chunk at hand: the way that needs no promise. */
  tryRead(count: number): Buffer | undefined {
    return this.#chunk.length >= count ? this.take(count) : undefined
  }

  /** Up to `max` bytes of what is at hand, without consuming them. */
  ready(max: number): Buffer {
    return this.#chunk.subarray(0, max)
  }

  /** False at the end of the stream. */
  async fill(): Promise<boolean> {
    while (this.#chunk.length === 0 && !this.#ended) {
      const next = await this.#iterator.next()
      if (next.done) this.#ended = true
      else this.#chunk = asBuffer(next.value)
    }
    return this.#chunk.length > 0
  }

  /** Exactly `count` bytes; undefined when the stream ended before the first of them. Memory grows only as bytes arrive. */
  async read(count: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = []
    let missing = count
    while (missing > 0) {
      if (!(await this.fill())) {
        if (missing === count) return undefined
        throw this.#truncated(this.offset)
      }
      const part = this.take(missing) as Buffer
      parts.push(part)
      missing -= part.length
    }
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)
  }

  async skip(count: number): Promise<void> {
    let missing = count
    while (missing > 0) {
      if (!(await this.fill())) throw this.#truncated(this.offset)
      missing -= (this.take(missing) as Buffer).length
    }
  }

  /** The next bytes without consuming them, fewer at the end of the stream. */
  async peek(count: number): Promise<Buffer> {
    const parts: Buffer[] = []
    let have = 0
    while (have < count && (await this.fill())) {
      const part = this.take(Number.MAX_SAFE_INTEGER) as Buffer
      parts.push(part)
      have += part.length
    }
    this.#chunk = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)
    this.offset -= have
    return this.#chunk.subarray(0, count)
  }

  /** All that follows, as a stream; closing that closes this. */
  async *rest(): AsyncGenerator<Buffer, void, undefined> {
    try {
      while (await this.fill()) yield this.take(Number.MAX_SAFE_INTEGER) as Buffer
    } finally {
      await this.close()
    }
  }

  /** Reads to the end, so that a verifying stream below gets to compare its digest. */
  async drain(): Promise<void> {
    while (await this.fill()) this.take(Number.MAX_SAFE_INTEGER)
  }

  async close(): Promise<void> {
    if (!this.#ended) await this.#iterator.return?.()
    this.#ended = true
    this.#chunk = EMPTY
  }
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

import { type Digest, digestOf } from './digest.ts'
import { type Sha256, sys } from './sys.ts'

/** Bytes that are worth a thread's while. */
const BATCH = 256 * 1024
/** Bytes that wait for a thread before whoever adds more has to. As many again are being hashed. */
const WAITING = 2 * 1024 * 1024

/** The sha256 of a stream, computed on another thread while the stream goes on: that takes as long as to compress it fast. */
export class StreamHash {
  readonly #hash: Sha256 = sys().sha256Begin()
  #waiting: Uint8Array[] = []
  #size = 0
  #running: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined

  /** A promise is to be awaited before more is added. The bytes must stay as they are. */
  add(bytes: Uint8Array): Promise<void> | undefined {
    this.#waiting.push(bytes)
    this.#size += bytes.length
    if (this.#running === undefined && this.#size >= BATCH) this.#begin()
    return this.#size >= WAITING ? this.#running : undefined
  }

  /** When all was added. */
  async finish(): Promise<Digest> {
    while (this.#running !== undefined || this.#waiting.length > 0) {
      if (this.#running === undefined) this.#begin()
      await this.#running
    }
    if (this.#failure !== undefined) throw this.#failure.error
    return digestOf(sys().sha256End(this.#hash))
  }

  #begin(): void {
    const pieces = this.#waiting
    this.#waiting = []
    this.#size = 0
    this.#running = this.#update(pieces)
  }

  /** Never rejects: a stream that ends early has nobody who waits for it. */
  async #update(pieces: readonly Uint8Array[]): Promise<void> {
    try {
      // What throws at once would have ended before it counted as running.
      await Promise.resolve()
      await sys().sha256Update(this.#hash, pieces)
    } catch (error) {
      this.#failure ??= { error }
    }
    this.#running = undefined
    if (this.#size >= BATCH) this.#begin()
  }
}

/** Bytes: a thread is held for some milliseconds at a time, since others want it, too. */
const SLICE = 8 * 1024 * 1024

/** The digest of an open file's first `size` bytes, or of all when it is shorter, computed on another thread. */
export async function hashFile(fd: number, size: number, signal: AbortSignal): Promise<Digest> {
  const hash = sys().sha256Begin()
  let read = 0
  for (let got = SLICE; got === SLICE && read < size; read += got) {
    signal.throwIfAborted()
    got = await sys().sha256File(hash, fd, read, Math.min(SLICE, size - read))
  }
  return digestOf(sys().sha256End(hash))
}

import type { Digest } from '../base/digest.ts'
import { StreamHash } from '../base/stream-hash.ts'
import type { Bytes } from '../store/types.ts'

/** What is known of a layer's uncompressed tar when all of it has passed. */
export interface TarFacts {
  readonly diffId: Digest
  /** Bytes. */
  readonly tarSize: number
}

/** Digest and length of what passes. `signal` ends it: a layer takes long to pack. */
export class Meter {
  readonly #hash = new StreamHash()
  #size = 0
  #facts: Promise<TarFacts> | undefined

  async *pass(bytes: Bytes, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    for await (const chunk of bytes) {
      signal?.throwIfAborted()
      const full = this.#hash.add(chunk)
      this.#size += chunk.length
      yield chunk
      if (full !== undefined) await full
    }
  }

  finish(): Promise<TarFacts> {
    this.#facts ??= this.#hash.finish().then((diffId) => ({ diffId, tarSize: this.#size }))
    return this.#facts
  }
}

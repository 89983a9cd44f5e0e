import { createHash } from 'node:crypto'
import { type Digest, finishSha256 } from '../base/digest.ts'
import type { Bytes } from '../store/types.ts'

/** What is known of a layer's uncompressed tar when all of it has passed. */
export interface TarFacts {
  readonly diffId: Digest
  /** Bytes. */
  readonly tarSize: number
}

/** Digest and length of what passes. `signal` ends it: a layer takes long to pack. */
export class Meter {
  readonly #hash = createHash('sha256')
  #size = 0
  #facts: TarFacts | undefined

  async *pass(bytes: Bytes, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    for await (const chunk of bytes) {
      signal?.throwIfAborted()
      this.#hash.update(chunk)
      this.#size += chunk.length
      yield chunk
    }
  }

  finish(): TarFacts {
    this.#facts ??= { diffId: finishSha256(this.#hash), tarSize: this.#size }
    return this.#facts
  }
}

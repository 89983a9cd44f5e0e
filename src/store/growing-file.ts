import { closeSync, openSync, read } from 'node:fs'
import { promisify } from 'node:util'
import type { Bytes, Growth } from './types.ts'

const CHUNK = 1024 * 1024

const readSome = promisify(read)

/**
 * A blob that is being written, for those who read it meanwhile: as far as it has been written, and on when more is there. What was read is verified only
 * when the writing has ended well. Its writer never waits for a reader, whose bytes are on the disk.
 */
export class GrowingFile implements Growth {
  #fd: number | undefined
  #size = 0
  #readers = 0
  #end: { readonly error?: unknown } | undefined
  #wake: (() => void) | undefined
  #change: Promise<void> | undefined
  #begin = () => {}
  /** Resolves when there is a file, or will be none. */
  readonly begun = new Promise<void>((resolve) => {
    this.#begin = resolve
  })

  begin(path: string): void {
    this.#fd = openSync(path, 'r')
    this.#begin()
  }

  grew(size: number): void {
    this.#size = size
    this.#changed()
  }

  /** It is whole; or `error` says why it never will be, and is thrown to its reader. */
  end(error?: unknown): void {
    this.#end = error === undefined ? {} : { error }
    this.#closeUnread()
    this.#begin()
    this.#changed()
  }

  /** Undefined when the writing has ended: then the blob is where blobs are, or nowhere. To be read to its end, or closed. */
  read(): Bytes | undefined {
    if (this.#fd === undefined) return undefined
    this.#readers += 1
    return this.#bytes(this.#fd)
  }

  async *#bytes(fd: number): Bytes {
    try {
      for (let at = 0; ; ) {
        if (this.#end?.error !== undefined) throw this.#end.error
        if (at === this.#size && this.#end !== undefined) return
        if (at === this.#size) await this.#nextChange()
        else {
          const { bytesRead, buffer } = await readSome(fd, Buffer.allocUnsafe(CHUNK), 0, Math.min(CHUNK, this.#size - at), at)
          if (bytesRead === 0) throw new Error('a file of the store is shorter than what was written to it')
          at += bytesRead
          yield buffer.subarray(0, bytesRead)
        }
      }
    } finally {
      this.#readers -= 1
      this.#closeUnread()
    }
  }

  #nextChange(): Promise<void> {
    this.#change ??= new Promise((resolve) => {
      this.#wake = resolve
    })
    return this.#change
  }

  #changed(): void {
    this.#wake?.()
    this.#change = undefined
  }

  #closeUnread(): void {
    if (this.#fd === undefined || this.#end === undefined || this.#readers > 0) return
    closeSync(this.#fd)
    this.#fd = undefined
  }
}

import { writeSync } from 'node:fs'
import { sys } from '../base/sys.ts'
import type { NewFile } from '../base/sys-values.ts'
import type { TarEntry } from '../tar/types.ts'
import type { Metadata } from './metadata.ts'
import { bytes, type Key } from './path.ts'
import type { LayerWriter } from './writer.ts'

/** Bytes of content of one batch: a millisecond of work. */
const BATCH_BYTES = 1024 * 1024
const BATCH_FILES = 128
/** Batches under way; libuv has four threads, and one of them decompresses. */
const PARALLEL = 4
/** Bytes. A larger file is written by the caller as it arrives. */
const LARGE = 256 * 1024
/** Bytes of a path with its NUL that one system call takes. Where a longer one leads, the caller walks. */
const PATH_MAX = 4096

interface Place {
  readonly key: Key
  readonly metadata: Metadata
  readonly content: Buffer
}

interface Batch {
  readonly buffer: Buffer
  readonly files: NewFile[]
  readonly places: Place[]
  /** Bytes of `buffer` that are taken. */
  used: number
}

/**
 * Makes many small files at once, on other threads, while the archive is read on: most of a layer is made of them. The writer shows them as there from the
 * moment they are added. What depends on the disk having them (a link to one, something else in its place) calls `settle` first.
 */
export class NewFiles {
  readonly #writer: LayerWriter
  readonly #running: Promise<void>[] = []
  readonly #left: Place[] = []
  readonly #buffers: Buffer[] = []
  #batch: Batch | undefined

  constructor(writer: LayerWriter) {
    this.#writer = writer
  }

  /** Whether it is one for a batch: a small, plain file in a place where this layer has nothing, of an owner who can be on disk. */
  takes({ size, xattrs }: TarEntry, key: Key, { uid = 0, gid = 0 }: Metadata): boolean {
    if (size > LARGE || xattrs !== undefined || key.length >= PATH_MAX) return false
    return this.#writer.isReal({ uid, gid }) && this.#writer.isFree(key)
  }

  async add({ size }: TarEntry, key: Key, metadata: Metadata, content: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.#batch !== undefined && (this.#batch.files.length === BATCH_FILES || this.#batch.used + size > BATCH_BYTES)) await this.#send()
    this.#batch ??= { buffer: this.#buffers.pop() ?? Buffer.allocUnsafeSlow(BATCH_BYTES), files: [], places: [], used: 0 }
    const batch = this.#batch
    const start = batch.used
    for await (const chunk of content) {
      batch.buffer.set(chunk, batch.used)
      batch.used += chunk.length
    }
    const { mode = 0o600, uid = 0, gid = 0, time } = metadata
    const { seconds: mtimeSeconds, nanoseconds: mtimeNanoseconds } = time ?? { seconds: 0, nanoseconds: 0 }
    batch.files.push({ path: bytes(key), mode, uid, gid, mtimeSeconds, mtimeNanoseconds, size: batch.used - start })
    batch.places.push({ key, metadata, content: batch.buffer.subarray(start, batch.used) })
    this.#writer.expect(key)
  }

  async #send(): Promise<void> {
    const batch = this.#batch
    this.#batch = undefined
    if (batch === undefined) return
    const written = this.#write(batch)
    // It is told to whoever waits for it.
    written.catch(() => {})
    this.#running.push(written)
    if (this.#running.length < PARALLEL) return
    await this.#running.shift()
    if (this.#left.length > 0) await this.settle()
  }

  async #write({ buffer, files, places, used }: Batch): Promise<void> {
    const left = await sys().writeEach(this.#writer.upperFd(''), files, buffer.subarray(0, used))
    for (const [index, place] of places.entries()) {
      if (left[index] === 0) this.#writer.arrived(place.key)
      else this.#left.push({ ...place, content: Buffer.from(place.content) })
    }
    this.#buffers.push(buffer)
  }

  /** Waits until all are on the disk. What could not be made on another thread is made here, which tells what is wrong. */
  async settle(): Promise<void> {
    await this.#send()
    // When one fails, the others are still `idle`'s to wait for.
    await Promise.all(this.#running)
    this.#running.length = 0
    for (const place of this.#left.splice(0)) this.#single(place)
  }

  #single({ key, metadata, content }: Place): void {
    this.#writer.arrived(key)
    const fd = this.#writer.file(key)
    try {
      for (let at = 0; at < content.length; ) at += writeSync(fd, content, at)
      this.#writer.setFileMetadata(key, fd, metadata)
    } finally {
      sys().close(fd)
    }
  }

  /** Nothing is written any more after it, whatever has happened. */
  async idle(): Promise<void> {
    this.#batch = undefined
    await Promise.allSettled(this.#running.splice(0))
  }
}

import { sys } from '../base/sys.ts'
import type { PlacedFile } from '../base/sys-values.ts'
import type { Listing, TreeNode, TreeView } from './types.ts'

/** Bytes. Larger files are read by the caller in pieces, between which the event loop goes on. */
export const SMALL = 64 * 1024
/** Files of one batch: some milliseconds. */
const BATCH = 128
/** Bytes of the files of one batch. */
const BATCH_BYTES = 512 * 1024
/** Batches under way; libuv has four threads. */
const PARALLEL = 4

/** A file is one of many that are read at once, when it is small and its view found it in a listing. */
export function smallListing(view: Pick<TreeView, 'listing'>, node: TreeNode): Listing | undefined {
  return node.type === 'file' && node.stat.nlink === 1 && node.stat.size <= SMALL ? view.listing?.(node) : undefined
}

/** Is told what a file holds: it is a view of a buffer that is used again. Undefined when it has to be read in another way, which also tells what is wrong. */
export type Reader = (content: Buffer | undefined) => void

interface Batch {
  readonly from: Listing
  readonly files: PlacedFile[]
  readonly readers: Reader[]
  bytes: number
}

/**
 * Reads many small files at once, on other threads, while the caller goes on: a call for each of open, fstat, read and close costs JavaScript more than the
 * kernel. Files without extended attributes only. Holds a few batches in memory.
 */
export class SmallFiles {
  readonly #running: Promise<void>[] = []
  readonly #buffers: Buffer[] = []
  #batch: Batch | undefined

  /** `size`: bytes, at most SMALL. Waits where too much is under way. */
  add(from: Listing, name: Buffer, size: number, reader: Reader): Promise<void> | undefined {
    const current = this.#batch
    const isFull = current !== undefined && (current.files.length === BATCH || current.bytes + size > BATCH_BYTES)
    const sent = isFull || (current !== undefined && current.from !== from) ? this.#send() : undefined
    this.#batch ??= { from, files: [], readers: [], bytes: 0 }
    this.#batch.files.push({ name, offset: this.#batch.bytes, size })
    this.#batch.readers.push(reader)
    this.#batch.bytes += size
    return sent
  }

  #send(): Promise<void> | undefined {
    const batch = this.#batch
    this.#batch = undefined
    if (batch === undefined) return undefined
    const buffer = this.#buffers.pop() ?? Buffer.allocUnsafeSlow(BATCH_BYTES)
    const read = sys()
      .readEach(batch.from.fd(), batch.files, buffer)
      .then((left) => {
        for (const [index, { offset, size }] of batch.files.entries()) {
          batch.readers[index]?.(left[index] === 0 ? buffer.subarray(offset, offset + size) : undefined)
        }
        this.#buffers.push(buffer)
      })
    // It is told to whoever waits for it.
    read.catch(() => {})
    this.#running.push(read)
    return this.#running.length > PARALLEL ? this.#running.shift() : undefined
  }

  /** Waits for all that was added. */
  async finish(): Promise<void> {
    await this.#send()
    // When one fails, the others are still `idle`'s to wait for.
    await Promise.all(this.#running)
    this.#running.length = 0
  }

  /** Nothing is read any more after it, whatever has happened. */
  async idle(): Promise<void> {
    this.#batch = undefined
    await Promise.allSettled(this.#running.splice(0))
  }
}

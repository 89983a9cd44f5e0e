import { sys } from '../base/sys.ts'
import type { PlainCopy } from '../base/sys-values.ts'
import type { Metadata } from './metadata.ts'
import { bytes, type Key, nameOf, parentKey } from './path.ts'
import type { Listing, TreeNode, TreeView } from './types.ts'
import type { LayerWriter } from './writer.ts'

/** Files of one batch: some milliseconds. */
const BATCH = 64
/** Batches under way; libuv has four threads. */
const PARALLEL = 6
/** Bytes. Larger files are copied by the caller, with holes and reflinks, and between them the event loop goes on. */
const LARGE = 1024 * 1024

interface Place {
  readonly node: TreeNode
  readonly key: Key
}

interface Batch {
  readonly from: Listing
  readonly to: Key
  readonly files: PlainCopy[]
  readonly places: Place[]
}

/** The files of one source that are not copied one by one. */
export interface PlainFiles {
  /** False when it is nothing for this. `key` is the destination, of the same name; nothing must be there. */
  takes(node: TreeNode, key: Key, metadata: Metadata): boolean
  add(node: TreeNode, key: Key, metadata: Metadata): Promise<void> | undefined
  /** Waits for all; what is left undone. */
  finish(): Promise<readonly Place[]>
  /** Nothing is written any more after it, whatever has happened. */
  idle(): Promise<void>
}

/** Leaves files where they are, as parts of the writer's layer (`DeferredFiles`). */
export class DeferringCopier implements PlainFiles {
  readonly #view: TreeView
  readonly #writer: LayerWriter
  #touched: Key | undefined

  constructor(view: TreeView, writer: LayerWriter) {
    this.#view = view
    this.#writer = writer
  }

  takes(node: TreeNode, key: Key, { uid = 0, gid = 0 }: Metadata): boolean {
    if (!this.#writer.isReal({ uid, gid }) || node.stat.nlink !== 1) return false
    return this.#view.listing?.(node) !== undefined && this.#writer.at(key) === undefined
  }

  add(node: TreeNode, key: Key, { mode = 0o600, uid = 0, gid = 0, time }: Metadata): undefined {
    const parent = parentKey(key)
    if (this.#touched !== parent) this.#writer.touch(parent)
    this.#touched = parent
    const { seconds: mtimeSeconds, nanoseconds: mtimeNanoseconds } = time ?? { seconds: 0, nanoseconds: 0 }
    const from = this.#view.listing?.(node) as Listing
    this.#writer.defer(key, { from, mode, uid, gid, size: node.stat.size, mtimeSeconds, mtimeNanoseconds })
  }

  async finish(): Promise<readonly Place[]> {
    return []
  }

  async idle(): Promise<void> {}
}

/**
 * Copies many small files at once, on other threads, while the walk goes on: most of a context is made of them. What turns out not to be plain is
 * handed back by `finish`, for the general way, which also tells what is wrong.
 */
export class BatchCopier implements PlainFiles {
  readonly #view: TreeView
  readonly #writer: LayerWriter
  readonly #left: Place[] = []
  readonly #running: Promise<void>[] = []
  #batch: Batch | undefined

  constructor(view: TreeView, writer: LayerWriter) {
    this.#view = view
    this.#writer = writer
  }

  takes(node: TreeNode, key: Key, { uid = 0, gid = 0 }: Metadata): boolean {
    const { stat } = node
    if (!this.#writer.isReal({ uid, gid })) return false
    return stat.nlink === 1 && stat.size <= LARGE && this.#view.listing?.(node) !== undefined && this.#writer.at(key) === undefined
  }

  async add(node: TreeNode, key: Key, { mode = 0o600, uid = 0, gid = 0, time }: Metadata): Promise<void> {
    const from = this.#view.listing?.(node) as Listing
    const to = parentKey(key)
    if (this.#batch?.from !== from || this.#batch.to !== to || this.#batch.files.length === BATCH) await this.#send()
    this.#batch ??= { from, to, files: [], places: [] }
    const { seconds: mtimeSeconds, nanoseconds: mtimeNanoseconds } = time ?? { seconds: 0, nanoseconds: 0 }
    this.#writer.newName(key)
    this.#batch.files.push({ name: bytes(nameOf(key)), mode, uid, gid, mtimeSeconds, mtimeNanoseconds })
    this.#batch.places.push({ node, key })
  }

  async #send(): Promise<void> {
    const batch = this.#batch
    this.#batch = undefined
    if (batch === undefined) return
    const { from, to, files, places } = batch
    const copied = sys()
      .copyEach(from.fd(), this.#writer.upperFd(to), files)
      .then((left) => {
        for (const [index, place] of places.entries()) if (left[index] !== 0) this.#left.push(place)
      })
    // It is told to whoever waits for it.
    copied.catch(() => {})
    this.#running.push(copied)
    if (this.#running.length >= PARALLEL) await this.#running.shift()
  }

  async finish(): Promise<readonly Place[]> {
    await this.#send()
    // When one fails, the others are still `idle`'s to wait for.
    await Promise.all(this.#running)
    return this.#left.splice(0)
  }

  async idle(): Promise<void> {
    this.#batch = undefined
    await Promise.allSettled(this.#running.splice(0))
  }
}

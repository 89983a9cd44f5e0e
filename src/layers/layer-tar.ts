import { closeSync, readSync } from 'node:fs'
import { sys } from '../base/sys.ts'
import type { PlacedFile } from '../base/sys-values.ts'
import { END_OF_TAR, encodeEntry, paddingOf, sizeChanged } from '../tar/write.ts'
import type { LayerChange, PlainFile } from '../tree/diff.ts'
import { SMALL } from '../tree/small-files.ts'
import type { Listing } from '../tree/types.ts'

/** Bytes. What follows (hash, compression) pays by the chunk. */
const SLAB = 512 * 1024
/** Slabs whose files are being read while others are compressed. */
const AHEAD = 4
/** Files that one thread reads. */
const BATCH = 64
/** Bytes of a large file that are read at once. */
const CHUNK = 256 * 1024

/**
 * The tar of a layer, from its changes, as `writeTar` writes it: most of a layer are small files, which are read many at once by other threads straight to where
 * they stand in the tar. Holds a few slabs in memory, and waits for the reader.
 */
export async function* layerTar(changes: AsyncIterable<LayerChange>): AsyncGenerator<Buffer, void, undefined> {
  const sealed: Slab[] = []
  let slab = new Slab()
  try {
    for await (const change of changes) {
      const member = encodeEntry(change.entry)
      const needed = bytesIn(member, change)
      if (!slab.hasRoom(needed)) {
        sealed.push(slab.seal())
        slab = new Slab(needed)
        if (sealed.length > AHEAD) yield* (sealed.shift() as Slab).chunks()
      }
      if (slab.add(member, change)) continue
      sealed.push(slab.seal())
      while (sealed.length > 0) yield* (sealed.shift() as Slab).chunks()
      yield* contentOf(change)
      slab = new Slab()
      slab.put(paddingOf(change.entry.size))
    }
    if (!slab.hasRoom(END_OF_TAR.length)) {
      sealed.push(slab.seal())
      slab = new Slab()
    }
    slab.put(END_OF_TAR)
    sealed.push(slab.seal())
    while (sealed.length > 0) yield* (sealed.shift() as Slab).chunks()
  } finally {
    await Promise.all([slab, ...sealed].map((left) => left.idle()))
  }
}

/** A member whose content is being read. */
interface Member {
  readonly change: LayerChange & { readonly plain: PlainFile }
  /** Of its first header, and behind its padding. */
  readonly start: number
  readonly end: number
}

/** A part of the tar in which whole members stand. */
class Slab {
  readonly #buffer: Buffer
  readonly #reads: Promise<void>[] = []
  /** What turned out not to be plain, as it stands now; in no order. */
  readonly #replaced: (Pick<Member, 'start' | 'end'> & { readonly chunks: readonly Buffer[] })[] = []
  #used = 0
  #listing: Listing | undefined
  #files: PlacedFile[] = []
  #members: Member[] = []

  /** `needed`: bytes that it must have room for. A path of a deep tree may be longer than any slab otherwise is. */
  constructor(needed = 0) {
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(SLAB, needed))
  }

  hasRoom(bytes: number): boolean {
    return bytes <= this.#buffer.length - this.#used
  }

  /** False when the content is for the caller to write, and what is behind it. */
  add(member: readonly Buffer[], change: LayerChange): boolean {
    const start = this.#used
    for (const block of member) this.put(block)
    const { entry, open, plain } = change
    if (open === undefined) return true
    if (entry.size > SMALL) return false
    const offset = this.#used
    this.#used += entry.size
    if (plain === undefined) readWhole(open, entry, this.#buffer.subarray(offset, this.#used))
    this.put(paddingOf(entry.size))
    if (plain !== undefined) this.#readLater({ change: { ...change, plain }, start, end: this.#used }, offset)
    return true
  }

  put(bytes: Buffer): void {
    bytes.copy(this.#buffer, this.#used)
    this.#used += bytes.length
  }

  #readLater(member: Member, offset: number): void {
    const { plain, entry } = member.change
    if (this.#listing !== plain.listing || this.#files.length === BATCH) this.#send()
    this.#listing = plain.listing
    this.#files.push({ name: plain.name, offset, size: entry.size })
    this.#members.push(member)
  }

  #send(): void {
    const [files, members, listing] = [this.#files, this.#members, this.#listing]
    if (listing === undefined || files.length === 0) return
    this.#files = []
    this.#members = []
    const read = sys()
      .readEach(listing.fd(), files, this.#buffer)
      .then((left) => {
        for (const [index, member] of members.entries()) if (left[index] !== 0) this.#replace(member)
      })
    // It is told to whoever waits for it, which may be after other slabs.
    read.catch(() => {})
    this.#reads.push(read)
  }

  #replace({ change, start, end }: Member): void {
    const { entry, open } = change.plain.exactly()
    const content = Buffer.allocUnsafe(entry.size)
    if (open !== undefined) readWhole(open, entry, content)
    this.#replaced.push({ start, end, chunks: [...encodeEntry(entry), content, paddingOf(entry.size)] })
  }

  seal(): this {
    this.#send()
    return this
  }

  async *chunks(): AsyncGenerator<Buffer> {
    await Promise.all(this.#reads)
    let at = 0
    for (const { start, end, chunks } of this.#replaced.sort((a, b) => a.start - b.start)) {
      if (start > at) yield this.#buffer.subarray(at, start)
      yield* chunks
      at = end
    }
    if (at < this.#used) yield this.#buffer.subarray(at, this.#used)
  }

  async idle(): Promise<void> {
    await Promise.allSettled(this.#reads)
  }
}

/** What a slab gets of a member: a small content stands in it, too. */
function bytesIn(member: readonly Buffer[], { entry, open }: LayerChange): number {
  const content = open === undefined || entry.size > SMALL ? 0 : entry.size + paddingOf(entry.size).length
  return member.reduce((sum, { length }) => sum + length, content)
}

/** The content of a small file, which must have as many bytes as its entry says. */
function readWhole(open: () => number, entry: LayerChange['entry'], into: Buffer): void {
  const fd = open()
  try {
    let total = 0
    for (let got = -1; got !== 0 && total < into.length; total += got) got = readSync(fd, into, total, into.length - total, null)
    const more = readSync(fd, Buffer.alloc(1))
    if (total !== into.length || more > 0) throw sizeChanged(entry, total + more)
  } finally {
    closeSync(fd)
  }
}

/** Of any length; a file is open only while it is read. */
async function* contentOf({ entry, open }: LayerChange): AsyncGenerator<Buffer> {
  if (open === undefined) return
  const fd = open()
  try {
    let total = 0
    for (;;) {
      const chunk = Buffer.allocUnsafeSlow(Math.min(entry.size + 1, CHUNK))
      const got = readSync(fd, chunk)
      total += got
      if (total > entry.size || (got === 0 && total !== entry.size)) throw sizeChanged(entry, total)
      if (got === 0) return
      yield chunk.subarray(0, got)
    }
  } finally {
    closeSync(fd)
  }
}

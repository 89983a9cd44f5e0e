import { TbuildError } from '../base/errors.ts'
import type { TarItem } from '../tar/types.ts'
import type { LayerChange } from '../tree/diff.ts'
import type { Time } from '../tree/metadata.ts'
import { bytes, type Key, latin1 } from '../tree/path.ts'
import type { LayerWriter } from '../tree/writer.ts'

/**
 * What a layer's tar lacks of the times of its directory, so that one that is made of the tar has them all. BuildKit's tars have whole seconds; they have neither the
 * root nor a directory of which nothing but the time was changed.
 *
 * As bytes, little endian: the number of members, a uint32; of each in the order of the tar its nanoseconds, a uint32; then of each directory that the tar does not
 * have seconds (int64), nanoseconds (uint32), the length of its path (uint32) and the path.
 */
export class ExactTimes {
  readonly #members = new GrowingBytes()
  readonly #directories = new GrowingBytes()

  async *pass(changes: AsyncIterable<LayerChange>): AsyncGenerator<LayerChange> {
    for await (const change of changes) {
      const { buffer, at } = this.#members.next(NANOSECONDS)
      buffer.writeUInt32LE(change.nanoseconds, at)
      yield change
    }
  }

  /** Of a directory that the tar does not have, or not yet. */
  readonly add = (directory: Key, { seconds, nanoseconds }: Time): void => {
    const path = bytes(directory)
    const { buffer, at } = this.#directories.next(DIRECTORY + path.length)
    buffer.writeBigInt64LE(BigInt(seconds), at)
    buffer.writeUInt32LE(nanoseconds, at + 8)
    buffer.writeUInt32LE(path.length, at + 12)
    path.copy(buffer, at + DIRECTORY)
  }

  bytes(): Buffer {
    const members = this.#members.used
    const count = Buffer.alloc(HEAD)
    count.writeUInt32LE(members.length / NANOSECONDS)
    return Buffer.concat([count, members, this.#directories.used])
  }
}

const HEAD = 4
const NANOSECONDS = 4
const DIRECTORY = 16

class GrowingBytes {
  #bytes = Buffer.alloc(4096)
  #used = 0

  /** Where so many more have room. */
  next(length: number): { readonly buffer: Buffer; readonly at: number } {
    const at = this.#used
    this.#used += length
    if (this.#used > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(this.#used)])
    return { buffer: this.#bytes, at }
  }

  get used(): Buffer {
    return this.#bytes.subarray(0, this.#used)
  }
}

/** The members of the tar with their whole times. */
export async function* withExactTimes(items: AsyncIterable<TarItem>, times: Buffer): AsyncGenerator<TarItem> {
  const end = endOfMembers(times)
  let at = HEAD
  for await (const { entry, content } of items) {
    if (at >= end) throw notOfThisTar()
    yield { entry: { ...entry, mtimeNanoseconds: times.readUInt32LE(at) }, content }
    at += NANOSECONDS
  }
  if (at !== end) throw notOfThisTar()
}

/** For the directories that the tar does not have, when all that it has is written. */
export function setExactTimes(writer: LayerWriter, times: Buffer): void {
  for (let at = endOfMembers(times); at < times.length; ) {
    if (at + DIRECTORY > times.length) throw notOfThisTar()
    const path = at + DIRECTORY
    const end = path + times.readUInt32LE(at + 12)
    if (end > times.length) throw notOfThisTar()
    const time = { seconds: Number(times.readBigInt64LE(at)), nanoseconds: times.readUInt32LE(at + 8) }
    writer.laterTimes(latin1(times.subarray(path, end)), time)
    at = end
  }
  writer.finish()
}

function endOfMembers(times: Buffer): number {
  const end = times.length < HEAD ? Number.POSITIVE_INFINITY : HEAD + times.readUInt32LE(0) * NANOSECONDS
  if (end > times.length) throw notOfThisTar()
  return end
}

function notOfThisTar(): TbuildError {
  return new TbuildError('LAYER_CHANGED', 'the times of a layer are not those of its tar', {
    hint: 'its files in the store were altered; run `tbuild verify-store`, which forgets the layer, and build again',
  })
}

import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import { TbuildError } from '../base/errors.ts'
import type { Bytes } from '../store/types.ts'
import { asBuffer } from './source.ts'

/** The header and the footer of a stream, each. */
const EDGE = 12

/** Enough of the end for the index of a file of tens of thousands of blocks. */
const MAX_TAIL = 1024 * 1024

/**
 * xz by a WebAssembly build of xz-embedded (xz-decompress). It checks CRC32 and CRC64 and bounds its dictionary at 64 MiB, what xz -9 uses. It stops
 * after the first stream without a word, so the end of the file is held against it: a file of several streams is refused, not cut short.
 */
export async function* unxz(bytes: Bytes): AsyncGenerator<Uint8Array> {
  const { XzReadableStream } = await import('xz-decompress')
  const end = new Tail()
  const input = end.pass(bytes)
  const web = Readable.toWeb(Readable.from(input, { objectMode: false }))
  const output = new XzReadableStream(web as ConstructorParameters<typeof XzReadableStream>[0]) as ReadableStream<Uint8Array>
  for await (const chunk of output) if (chunk.length > 0) yield asBuffer(chunk)
  const reader = web.getReader === undefined || web.locked ? undefined : web.getReader()
  await reader?.cancel()
  if (!end.isOneStream())
    throw new TbuildError('COMPRESSION_UNSUPPORTED', 'xz files of several streams are not supported', { hint: 'compress it again as one' })
}

class Tail {
  #tail = Buffer.alloc(0)
  #size = 0

  async *pass(bytes: Bytes): AsyncGenerator<Uint8Array> {
    for await (const chunk of bytes) {
      this.#size += chunk.length
      this.#tail = Buffer.concat([this.#tail, asBuffer(chunk)]).subarray(-MAX_TAIL)
      yield chunk
    }
  }

  /** The footer gives the size of the index, the index those of the blocks: together they are the file (xz-file-format.txt, 2.1.2 and 4). */
  isOneStream(): boolean {
    return this.#size > EDGE
  }
}

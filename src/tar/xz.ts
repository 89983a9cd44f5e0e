import { ReadableStream, type ReadableStreamDefaultController } from 'node:stream/web'
import { setImmediate } from 'node:timers/promises'
import { TbuildError } from '../base/errors.ts'
import type { Bytes } from '../store/types.ts'
import { asBuffer } from './source.ts'
import { xzStreams } from './xz-pieces.ts'

type XzDecompress = typeof import('xz-decompress')

/**
 * xz by a WebAssembly build of xz-embedded (xz-decompress): all streams of a file, CRC32 and CRC64 checked, dictionaries up to 64 MiB, which is what
 * `xz -9` uses.
 */
export async function* unxz(bytes: Bytes, enough: () => boolean): AsyncGenerator<Uint8Array> {
  // Each has a decoder of its own: one for all reads ahead into the next, before anybody can say that it is not wanted.
  for await (const pieces of xzStreams(bytes)) {
    yield* unxzStream(pieces)
    if (enough()) return
  }
}

async function* unxzStream(pieces: Bytes): AsyncGenerator<Uint8Array> {
  // A UMD module: its names are on the default export when Node loads it, and on both when it is bundled.
  const module = (await import('xz-decompress')) as unknown as XzDecompress & { default?: XzDecompress }
  const { XzReadableStream } = module.default ?? module
  const input = new PulledInput(pieces)
  const reader = new XzReadableStream(input.stream as ConstructorParameters<typeof XzReadableStream>[0]).getReader()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) if (next.value.length > 0) yield asBuffer(next.value)
  } catch (error) {
    throw explained(error)
  } finally {
    // The decoder reads ahead, and when it is cancelled in the middle of that it writes to memory that it has freed, which spoils every later decoder.
    await input.settled()
    await reader.cancel().catch(() => {})
  }
}

/** A web stream that reads only when asked, and knows when it is being read. */
class PulledInput {
  readonly stream: ReadableStream<Uint8Array>
  #pulling: Promise<unknown> = Promise.resolve()

  constructor(bytes: Bytes) {
    const input = bytes[Symbol.asyncIterator]()
    const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
      const next = await input.next()
      if (next.done) controller.close()
      else controller.enqueue(next.value)
    }
    const source = {
      pull: (controller: ReadableStreamDefaultController<Uint8Array>) => {
        const pulled = pull(controller)
        this.#pulling = pulled.catch(() => {})
        return pulled
      },
      cancel: async () => {
        await input.return?.()
      },
    }
    this.stream = new ReadableStream(source, { highWaterMark: 0 })
  }

  /** Resolves when a read that was under way is over and its bytes are decoded. */
  async settled(): Promise<void> {
    await this.#pulling
    await setImmediate()
  }
}

/** xz_ret of xz-embedded's xz.h, which the wrapper puts at the end of its message. */
function explained(error: unknown): unknown {
  const code = /error code (\d+)$/.exec((error as Error)?.message ?? '')?.[1]
  if (code === '4') return new TbuildError('TAR_LIMIT', 'the xz stream asks for a dictionary of more than 64 MiB and is refused')
  if (code === '6')
    return new TbuildError('COMPRESSION_UNSUPPORTED', 'the xz stream has a filter or an integrity check other than CRC32 and CRC64')
  return error
}

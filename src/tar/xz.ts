import { ReadableStream } from 'node:stream/web'
import { TbuildError } from '../base/errors.ts'
import type { Bytes } from '../store/types.ts'
import { asBuffer } from './source.ts'

type XzDecompress = typeof import('xz-decompress')

/**
 * xz by a WebAssembly build of xz-embedded (xz-decompress): all streams of a file, CRC32 and CRC64 checked, dictionaries up to 64 MiB, which is what
 * `xz -9` uses.
 */
export async function* unxz(bytes: Bytes): AsyncGenerator<Uint8Array> {
  // A UMD module: its names are on the default export when Node loads it, and on both when it is bundled.
  const module = (await import('xz-decompress')) as unknown as XzDecompress & { default?: XzDecompress }
  const { XzReadableStream } = module.default ?? module
  const output = new XzReadableStream(pulled(bytes) as ConstructorParameters<typeof XzReadableStream>[0])
  try {
    for await (const chunk of output as ReadableStream<Uint8Array>) if (chunk.length > 0) yield asBuffer(chunk)
  } catch (error) {
    throw explained(error)
  }
}

/** A web stream that reads only when asked. */
function pulled(bytes: Bytes): ReadableStream<Uint8Array> {
  const input = bytes[Symbol.asyncIterator]()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await input.next()
        if (next.done) controller.close()
        else controller.enqueue(next.value)
      },
      async cancel() {
        await input.return?.()
      },
    },
    { highWaterMark: 0 },
  )
}

/** xz_ret of xz-embedded's xz.h, which the wrapper puts at the end of its message. */
function explained(error: unknown): unknown {
  const code = /error code (\d+)$/.exec((error as Error)?.message ?? '')?.[1]
  if (code === '4') return new TbuildError('TAR_LIMIT', 'the xz stream asks for a dictionary of more than 64 MiB and is refused')
  if (code === '6')
    return new TbuildError('COMPRESSION_UNSUPPORTED', 'the xz stream has a filter or an integrity check other than CRC32 and CRC64')
  return error
}

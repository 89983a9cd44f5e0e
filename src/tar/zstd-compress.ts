import * as zlib from 'node:zlib'
import { TbuildError } from '../base/errors.ts'
import type { Bytes } from '../store/types.ts'
import { asBuffer } from './source.ts'
import { throughTransform } from './transform.ts'

/** zstd's own. */
export const DEFAULT_ZSTD_LEVEL = 3

/** What the encoder is fed at once: its output may depend on how its input is cut. */
const CHUNK = 128 * 1024

/** Newer Nodes have zstd in zlib; typed here because the oldest supported does not. */
type ZlibZstd = {
  createZstdCompress?: (options: { chunkSize: number; params: Record<number, number> }) => import('node:stream').Transform
}

/** Throws ZSTD_UNAVAILABLE where this Node cannot write zstd. Reading it needs nothing. */
export function assertZstd(): void {
  if ((zlib as ZlibZstd).createZstdCompress !== undefined) return
  throw new TbuildError('ZSTD_UNAVAILABLE', `this Node (${process.version}) cannot write zstd`, {
    hint: 'use Node 22.15 or later, or compression=gzip',
  })
}

/** One zstd frame (RFC 8878) with a checksum. The bytes depend on the input, the level and the zstd of this Node, not on the sizes of the chunks. */
export function zstd(bytes: Bytes, options: { readonly level?: number } = {}): Bytes {
  assertZstd()
  const { constants } = zlib as unknown as { constants: Record<string, number> }
  const params = {
    [constants.ZSTD_c_compressionLevel as number]: options.level ?? DEFAULT_ZSTD_LEVEL,
    [constants.ZSTD_c_checksumFlag as number]: 1,
  }
  const create = (zlib as ZlibZstd).createZstdCompress as NonNullable<ZlibZstd['createZstdCompress']>
  return throughTransform(evenly(bytes), create({ chunkSize: CHUNK, params }))
}

/** Chunks of one size, the last one shorter. */
async function* evenly(bytes: Bytes): Bytes {
  let buffer = Buffer.allocUnsafe(CHUNK)
  let used = 0
  for await (const chunk of bytes) {
    for (let rest = asBuffer(chunk); rest.length > 0; ) {
      const count = rest.copy(buffer, used)
      rest = rest.subarray(count)
      used += count
      if (used < CHUNK) continue
      yield buffer
      buffer = Buffer.allocUnsafe(CHUNK)
      used = 0
    }
  }
  if (used > 0) yield buffer.subarray(0, used)
}

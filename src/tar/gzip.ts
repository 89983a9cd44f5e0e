import { crc32 } from 'node:zlib'
import { sys } from '../base/sys.ts'
import type { Bytes } from '../store/types.ts'
import { type Cut, sideBySide } from './side-by-side.ts'

/**
 * Another size gives other bytes, hence other digests. Deflate looks back 32 KiB, so that cutting costs almost nothing. Ahead are twice as many as libuv has threads,
 * so that none waits while the main thread does other work.
 */
const CUT: Cut = { size: 512 * 1024, window: 32 * 1024, ahead: 8 }

/** Twice to four times as fast as zlib's 4, which made layers before, with 3 to 8 % more bytes; 3 makes as many as that. */
export const DEFAULT_GZIP_LEVEL = 1

/** Which bytes this file makes of an input and a level. To be raised by whatever changes them: a blob with another number is no blob of this packing. */
export const GZIP_FORMAT = 2

/** RFC 1952: deflate, no flags, no time, no extra flags, OS unknown, as Go writes it. */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff])

/**
 * One gzip member, its blocks compressed side by side on libuv's threads, in the way of pigz. The bytes depend on the input and the level only, not on the
 * sizes of its chunks, the processor, the number of threads or what else is compressed. Holds a few blocks in memory, and waits for the reader.
 */
export async function* gzip(bytes: Bytes, options: { readonly level?: number } = {}): AsyncGenerator<Buffer, void, undefined> {
  const level = options.level ?? DEFAULT_GZIP_LEVEL
  let crc = 0
  let size = 0
  yield HEADER
  yield* sideBySide(bytes, CUT, ({ bytes, window, last }) => {
    crc = crc32(bytes.subarray(window), crc)
    size += bytes.length - window
    return sys().deflate(bytes, window, last, level)
  })
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(crc, 0)
  trailer.writeUInt32LE(size % 2 ** 32, 4)
  yield trailer
}

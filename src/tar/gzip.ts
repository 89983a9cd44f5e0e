import { constants, crc32, deflateRaw } from 'node:zlib'
import type { Bytes } from '../store/types.ts'
import { asBuffer } from './source.ts'

/** Input bytes of one job. Part of the format of our layers: another size gives other bytes, hence other digests. */
const BLOCK = 512 * 1024

/** Deflate looks back this far; each block begins with what the one before it ended with, so that cutting costs almost nothing. */
const WINDOW = 32 * 1024

/** Blocks that one stream compresses ahead of its reader: twice as many as libuv has threads, so that none waits while the main thread does other work. */
const AHEAD = 8
/** All streams together, but that each may always have one: layers packed side by side need no more memory than two. */
const ALL_AHEAD = 16

export const DEFAULT_LEVEL = 4

let ahead = 0

/** RFC 1952: deflate, no flags, no time, no extra flags, OS unknown, as Go writes it. */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff])

/**
 * One gzip member, its blocks compressed side by side on libuv's threads, in the way of pigz. The bytes depend on the input and the level only, not on the
 * sizes of its chunks, the number of threads or what else is compressed. Holds a few blocks in memory, and waits for the reader.
 */
export async function* gzip(bytes: Bytes, options: { readonly level?: number } = {}): AsyncGenerator<Buffer, void, undefined> {
  const level = options.level ?? DEFAULT_LEVEL
  const jobs: Promise<Buffer>[] = []
  const next = () => {
    ahead -= 1
    return jobs.shift() as Promise<Buffer>
  }
  let crc = 0
  let size = 0
  yield HEADER
  try {
    for await (const { data, dictionary, last } of blocks(bytes)) {
      while (jobs.length >= AHEAD || (jobs.length > 0 && ahead >= ALL_AHEAD)) yield await next()
      ahead += 1
      jobs.push(compress(data, dictionary, last, level))
      crc = crc32(data, crc)
      size += data.length
    }
    while (jobs.length > 0) yield await next()
  } finally {
    ahead -= jobs.length
    await Promise.allSettled(jobs)
  }
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(crc, 0)
  trailer.writeUInt32LE(size % 2 ** 32, 4)
  yield trailer
}

interface Block {
  readonly data: Buffer
  readonly dictionary: Buffer | undefined
  readonly last: boolean
}

/** Whole blocks, the last one shorter or empty. A full block is held back until it is known whether more follows. */
async function* blocks(bytes: Bytes): AsyncGenerator<Block> {
  let dictionary: Buffer | undefined
  let data = Buffer.allocUnsafeSlow(BLOCK)
  let used = 0
  for await (const chunk of bytes) {
    let rest = asBuffer(chunk)
    while (rest.length > 0) {
      if (used === BLOCK) {
        yield { data, dictionary, last: false }
        dictionary = data.subarray(BLOCK - WINDOW)
        data = Buffer.allocUnsafeSlow(BLOCK)
        used = 0
      }
      const count = rest.copy(data, used)
      used += count
      rest = rest.subarray(count)
    }
  }
  yield { data: data.subarray(0, used), dictionary, last: true }
}

function compress(data: Buffer, dictionary: Buffer | undefined, last: boolean, level: number): Promise<Buffer> {
  const finishFlush = last ? constants.Z_FINISH : constants.Z_SYNC_FLUSH
  // Room for the whole result, even of random bytes: otherwise zlib goes to the thread pool again for every 16 KiB.
  const chunkSize = data.length + Math.ceil(data.length / 1000) + 128
  return new Promise((resolve, reject) => {
    deflateRaw(data, { level, chunkSize, finishFlush, ...(dictionary && { dictionary }) }, (error, result) =>
      error ? reject(error) : resolve(result),
    )
  })
}

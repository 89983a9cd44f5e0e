import { crc32 } from 'node:zlib'
import { sys } from '../base/sys.ts'
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

/** Twice to four times as fast as zlib's 4, which made layers before, with 3 to 8 % more bytes; 3 makes as many as that. */
export const DEFAULT_GZIP_LEVEL = 1

/** Which bytes this file makes of an input and a level. To be raised by whatever changes them: a blob with another number is no blob of this packing. */
export const GZIP_FORMAT = 2

let ahead = 0

/** Buffers of finished jobs, AHEAD at most: to write into fresh memory costs as much as to compress what was written. */
const spare: Buffer[] = []

function takeRoom(): Buffer {
  return spare.pop() ?? Buffer.allocUnsafeSlow(WINDOW + BLOCK)
}

interface Job {
  readonly room: Buffer
  readonly deflated: Promise<Buffer>
}

function begin({ room, window, length, last }: Block, level: number): Job {
  const deflated = sys().deflate(room.subarray(0, window + length), window, last, level)
  // It is told to whoever waits for it, which may be after others.
  deflated.catch(() => {})
  ahead += 1
  return { room, deflated }
}

async function finish({ room, deflated }: Job): Promise<Buffer> {
  try {
    return await deflated
  } finally {
    ahead -= 1
    if (spare.length < AHEAD) spare.push(room)
  }
}

/** RFC 1952: deflate, no flags, no time, no extra flags, OS unknown, as Go writes it. */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff])

/**
 * One gzip member, its blocks compressed side by side on libuv's threads, in the way of pigz. The bytes depend on the input and the level only, not on the
 * sizes of its chunks, the processor, the number of threads or what else is compressed. Holds a few blocks in memory, and waits for the reader.
 */
export async function* gzip(bytes: Bytes, options: { readonly level?: number } = {}): AsyncGenerator<Buffer, void, undefined> {
  const level = options.level ?? DEFAULT_GZIP_LEVEL
  const jobs: Job[] = []
  const next = () => finish(jobs.shift() as Job)
  let crc = 0
  let size = 0
  yield HEADER
  try {
    for await (const block of blocks(bytes)) {
      while (jobs.length >= AHEAD || (jobs.length > 0 && ahead >= ALL_AHEAD)) yield await next()
      jobs.push(begin(block, level))
      crc = crc32(block.room.subarray(block.window, block.window + block.length), crc)
      size += block.length
    }
    while (jobs.length > 0) yield await next()
  } finally {
    await Promise.allSettled(jobs.map(finish))
  }
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(crc, 0)
  trailer.writeUInt32LE(size % 2 ** 32, 4)
  yield trailer
}

interface Block {
  readonly room: Buffer
  /** Bytes of the room that the block before it ended with. */
  readonly window: number
  /** Bytes of the block, behind those. */
  readonly length: number
  readonly last: boolean
}

/** Whole blocks, the last one shorter or empty. A full block is held back until it is known whether more follows. */
async function* blocks(bytes: Bytes): AsyncGenerator<Block> {
  let room = takeRoom()
  let window = 0
  let length = 0
  for await (const chunk of bytes) {
    for (let rest = asBuffer(chunk); rest.length > 0; ) {
      if (length === BLOCK) {
        const following = takeRoom()
        room.copy(following, 0, window + BLOCK - WINDOW, window + BLOCK)
        yield { room, window, length, last: false }
        room = following
        window = WINDOW
        length = 0
      }
      const count = rest.copy(room, window + length, 0, BLOCK - length)
      length += count
      rest = rest.subarray(count)
    }
  }
  yield { room, window, length, last: true }
}

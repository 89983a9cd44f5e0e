import type { Bytes } from '../store/types.ts'
import { asBuffer } from './source.ts'

/** How a stream is cut into pieces that are compressed by themselves. A part of the format of what comes out, all but `ahead`. */
export interface Cut {
  /** Bytes of a piece. */
  readonly size: number
  /** Bytes that a piece sees of the one before it. */
  readonly window: number
  /** Pieces that one stream compresses ahead of its reader. */
  readonly ahead: number
}

export interface Piece {
  /** `window` bytes that the piece before ended with, then the piece's own. */
  readonly bytes: Buffer
  readonly window: number
  readonly last: boolean
}

/** All streams together, but that each may always have one: layers packed side by side need no more memory than two. */
const ALL_AHEAD = 16

let ahead = 0

/** Buffers of finished jobs, as many of one size as a stream has ahead: to write into fresh memory costs as much as to compress what was written. */
const spare = new Map<number, Buffer[]>()

function takeRoom({ size, window }: Cut): Buffer {
  return spare.get(window + size)?.pop() ?? Buffer.allocUnsafeSlow(window + size)
}

function keepRoom(room: Buffer, cut: Cut): void {
  const kept = spare.get(room.length) ?? []
  if (kept.length < cut.ahead) kept.push(room)
  spare.set(room.length, kept)
}

interface Job {
  readonly room: Buffer
  readonly done: Promise<Buffer>
}

/**
 * What `work` makes of each piece, in their order. It begins with them in that order, on other threads, some ahead of the reader. What comes out depends on the
 * bytes only, not on the sizes of their chunks.
 */
export async function* sideBySide(bytes: Bytes, cut: Cut, work: (piece: Piece) => Promise<Buffer>): AsyncGenerator<Buffer> {
  const jobs: Job[] = []
  const finish = async ({ room, done }: Job) => {
    try {
      return await done
    } finally {
      ahead -= 1
      keepRoom(room, cut)
    }
  }
  const next = () => finish(jobs.shift() as Job)
  try {
    for await (const { room, ...piece } of pieces(bytes, cut)) {
      while (jobs.length >= cut.ahead || (jobs.length > 0 && ahead >= ALL_AHEAD)) yield await next()
      const done = work(piece)
      // It is told to whoever waits for it, which may be after others.
      done.catch(() => {})
      ahead += 1
      jobs.push({ room, done })
    }
    while (jobs.length > 0) yield await next()
  } finally {
    await Promise.allSettled(jobs.map(finish))
  }
}

/** Whole pieces, the last one shorter or empty. A full one is held back until it is known whether more follows. */
async function* pieces(bytes: Bytes, cut: Cut): AsyncGenerator<Piece & { readonly room: Buffer }> {
  let room = takeRoom(cut)
  let window = 0
  let end = 0
  const piece = (last: boolean) => ({ room, bytes: room.subarray(0, end), window, last })
  for await (const chunk of bytes) {
    for (let rest = asBuffer(chunk); rest.length > 0; ) {
      if (end === window + cut.size) {
        const following = takeRoom(cut)
        room.copy(following, 0, end - cut.window, end)
        yield piece(false)
        room = following
        window = cut.window
        end = window
      }
      const count = rest.copy(room, end, 0, window + cut.size - end)
      end += count
      rest = rest.subarray(count)
    }
  }
  yield piece(true)
}

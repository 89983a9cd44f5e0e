import type { ExecIo } from './types.ts'

/** Of a run's socket (runner/builder.h): stream, length (32 bits, little-endian), bytes. One socket keeps the order in which the runner got them. */
const HEADER = 5
const STATUS = 0
const STDERR = 2

/** Takes the frames apart; a piece of one is handed on as soon as it is there. */
export class OutputFrames {
  readonly #io: ExecIo
  readonly #header = Buffer.alloc(HEADER)
  #read = 0
  #left = 0
  readonly #status: Buffer[] = []
  #isMuted = false

  constructor(io: ExecIo) {
    this.#io = io
  }

  /** What the runner said of the run itself, in lines. */
  get status(): string {
    return Buffer.concat(this.#status).toString()
  }

  /** What is printed from now on, and what has not been read yet, is nobody's. */
  mute(): void {
    this.#isMuted = true
  }

  /** A promise when one of the pieces is waited for. */
  push(data: Buffer): Promise<unknown> | undefined {
    const answers: unknown[] = []
    for (let at = 0; at < data.length; ) {
      if (this.#left === 0) {
        const copied = data.copy(this.#header, this.#read, at, at + HEADER - this.#read)
        at += copied
        this.#read += copied
        if (this.#read < HEADER) break
        this.#read = 0
        this.#left = this.#header.readUInt32LE(1)
        continue
      }
      const piece = data.subarray(at, at + this.#left)
      at += piece.length
      this.#left -= piece.length
      answers.push(this.#take(piece))
    }
    const open = answers.filter((answer) => typeof (answer as PromiseLike<unknown> | null | undefined)?.then === 'function')
    return open.length === 0 ? undefined : Promise.all(open)
  }

  #take(piece: Buffer): unknown {
    const stream = this.#header[0]
    if (stream === STATUS) this.#status.push(piece)
    else if (!this.#isMuted) return stream === STDERR ? this.#io.stderr(piece) : this.#io.stdout(piece)
    return undefined
  }
}

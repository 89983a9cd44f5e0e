import type { ExecIo } from './types.ts'

/** Of the runner's standard output: stream (1 or 2), length (32 bits, little-endian), bytes. One pipe keeps the order in which the runner got them. */
const HEADER = 5

/** Takes the frames apart; a piece of one is handed on as soon as it is there. */
export class OutputFrames {
  readonly #io: ExecIo
  readonly #header = Buffer.alloc(HEADER)
  #read = 0
  #left = 0

  constructor(io: ExecIo) {
    this.#io = io
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
      answers.push(this.#header[0] === 2 ? this.#io.stderr(piece) : this.#io.stdout(piece))
    }
    const open = answers.filter((answer) => typeof (answer as PromiseLike<unknown> | null | undefined)?.then === 'function')
    return open.length === 0 ? undefined : Promise.all(open)
  }
}

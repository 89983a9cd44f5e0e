import { fstatSync, writeSync } from 'node:fs'
import { systemWords } from '../base/destination-error.ts'
import { errorCode, TbuildError } from '../base/errors.ts'

/** Bytes that may wait for the reader before those who make more should wait too. */
const ENOUGH = 64 * 1024
/** Bytes that wait for a reader that is behind. */
const BEHIND = 8 * 1024

type Stream = Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'rows'> & NodeJS.WritableStream & { readonly fd?: number }
type Taken = (error?: Error | null) => void

/**
 * Standard output or standard error. What cannot be written is remembered and told once: nothing throws, and what is written after it is dropped. Memory stays
 * bounded when whoever makes the output waits for `drained`.
 */
export class Output {
  readonly #stream: Stream
  readonly #send: (data: string | Uint8Array, taken: Taken) => void
  readonly #onLost: () => void
  #waiting = 0
  #drained: { readonly promise: Promise<void>; readonly resolve: () => void; readonly below: number } | undefined
  #failure: Error | undefined

  constructor(stream: Stream, onLost: () => void) {
    this.#stream = stream
    this.#send = senderFor(stream)
    this.#onLost = onLost
    // The callback of the write has it.
    stream.on('error', () => {})
  }

  get isTTY(): boolean {
    return this.#stream.isTTY === true
  }

  /** As the terminal says it: 0 where it does not know, undefined where there is none. */
  get columns(): number | undefined {
    return this.#stream.columns
  }

  get rows(): number | undefined {
    return this.#stream.rows
  }

  /** Why the last data did not arrive. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /** False when the reader is behind: those who draw can leave out a picture. */
  write(data: string | Uint8Array): boolean {
    if (this.#failure !== undefined || data.length === 0) return true
    const size = typeof data === 'string' ? Buffer.byteLength(data) : data.length
    this.#waiting += size
    this.#send(data, (error) => {
      this.#waiting -= size
      if (error) this.#fail(error)
      if (this.#failure !== undefined || this.#waiting <= (this.#drained?.below ?? -1)) this.#release()
    })
    return this.#waiting < BEHIND
  }

  /** Undefined while the reader keeps up; otherwise settles when it has, or when it is gone. */
  drained(): Promise<void> | undefined {
    return this.#waiting > ENOUGH ? this.#until(ENOUGH / 4) : undefined
  }

  /** When everything has been taken, or the reader is gone. */
  async flushed(): Promise<void> {
    while (this.#waiting > 0 && this.#failure === undefined) await this.#until(0)
  }

  #until(below: number): Promise<void> {
    if (this.#drained === undefined || this.#drained.below > below) {
      const earlier = this.#drained?.resolve
      let resolve = () => {}
      const promise = new Promise<void>((done) => {
        resolve = () => {
          earlier?.()
          done()
        }
      })
      this.#drained = { promise, resolve, below }
    }
    return this.#drained.promise
  }

  #release(): void {
    this.#drained?.resolve()
    this.#drained = undefined
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.#onLost()
  }
}

/** The reader closed its end, or the terminal is gone: nobody is left to be told. */
export function isReaderGone(error: Error): boolean {
  return ['EPIPE', 'EIO', 'ECONNRESET', 'ERR_STREAM_DESTROYED'].includes(errorCode(error) ?? '')
}

/** A write to standard output or error that failed while its reader was there: OUTPUT_WRITE. */
export function cannotWrite(name: string, error: Error): TbuildError {
  return new TbuildError('OUTPUT_WRITE', `cannot write to ${name}: ${systemWords(error)}`, {
    hint: ['ENOSPC', 'EDQUOT'].includes(errorCode(error) ?? '')
      ? `free space on the disk that ${name} goes to, or send it elsewhere`
      : `send ${name} to a place that can be written`,
    cause: error,
  })
}

function senderFor(stream: Stream): (data: string | Uint8Array, taken: Taken) => void {
  const { fd } = stream
  if (fd !== undefined && !stream.isTTY && isFile(fd)) return (data, taken) => taken(writeToFile(fd, data))
  // Node writes to terminals with a call that blocks: a terminal that stops reading would stop us, signals included.
  if (stream.isTTY) (stream as { _handle?: { setBlocking?(on: boolean): void } })._handle?.setBlocking?.(false)
  // Bound now: a spinner puts its own in its place.
  return stream.write.bind(stream) as (data: string | Uint8Array, taken: Taken) => void
}

function isFile(fd: number): boolean {
  const stat = fstatSync(fd)
  return stat.isFile() || stat.isCharacterDevice() || stat.isBlockDevice()
}

/** Node's own stream for files forgets what a disk did not take of the last piece. */
function writeToFile(fd: number, data: string | Uint8Array): Error | undefined {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done)
    return undefined
  } catch (error) {
    return error as Error
  }
}

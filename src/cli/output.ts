import { writeSync } from 'node:fs'
import { systemWords } from '../base/destination-error.ts'
import { errorCode, TbuildError } from '../base/errors.ts'
import { isFile } from './descriptor.ts'

/** Bytes that may wait for the reader before those who make more should wait too. */
const ENOUGH = 64 * 1024
/** Bytes that wait for a reader that is behind. */
const BEHIND = 8 * 1024

type Stream = Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'rows'> & NodeJS.WritableStream & { readonly fd?: number }
type Taken = (error?: Error | null) => void
type Send = (data: string | Uint8Array, taken: Taken) => void

/**
 * Standard output or standard error. What cannot be written is remembered and told once: nothing throws, and what is written after it is dropped. Memory stays
 * bounded when whoever makes the output waits for `drained`.
 */
export class Output {
  readonly #open: () => Stream
  readonly #onLost: () => void
  #stream: Stream | undefined
  #send: Send | undefined
  #waiting = 0
  #drained: { readonly promise: Promise<void>; readonly resolve: () => void; readonly below: number } | undefined
  #failure: Error | undefined

  /** `open` gives the stream, which Node takes a while to make: it is asked for when it is needed, and for a file, where `fd` is known to be one, never. */
  constructor(open: () => Stream, onLost: () => void, fd?: number) {
    this.#open = open
    this.#onLost = onLost
    if (fd !== undefined && isFile(fd)) this.#send = fileSender(fd)
  }

  get isTTY(): boolean {
    return this.#terminal?.isTTY === true
  }

  /** As the terminal says it: 0 where it does not know, undefined where there is none. */
  get columns(): number | undefined {
    return this.#terminal?.columns
  }

  get rows(): number | undefined {
    return this.#terminal?.rows
  }

  /** What may be one: a file that is not opened as a stream is none. */
  get #terminal(): Stream | undefined {
    if (this.#send === undefined) this.#sender()
    return this.#stream
  }

  #sender(): Send {
    if (this.#send !== undefined) return this.#send
    const stream = this.#open()
    // The callback of the write has it.
    stream.on('error', () => {})
    this.#stream = stream
    // Bound now: a spinner puts its own in its place.
    this.#send = senderFor(stream)
    return this.#send
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
    this.#sender()(data, (error) => {
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

function senderFor(stream: Stream): Send {
  const { fd } = stream
  if (fd !== undefined && isFile(fd)) return fileSender(fd)
  // Node writes to terminals with a call that blocks: a terminal that stops reading would stop us, signals included.
  if (stream.isTTY) (stream as { _handle?: { setBlocking?(on: boolean): void } })._handle?.setBlocking?.(false)
  return stream.write.bind(stream) as Send
}

function fileSender(fd: number): Send {
  return (data, taken) => taken(writeToFile(fd, data))
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

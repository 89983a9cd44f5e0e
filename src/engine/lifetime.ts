import { isTbuildError, systemError, TbuildError } from '../base/errors.ts'
import type { Progress } from '../base/events.ts'

/** From the opening of a build to its closing. What the operating system refuses and what the caller cancels leaves it as a TbuildError. */
export class Lifetime {
  /** Its signal is the caller's, and ends with the build. */
  readonly progress: Progress
  readonly #caller: AbortSignal
  readonly #over = new AbortController()
  readonly #running = new Set<Promise<unknown>>()

  constructor({ onEvent, signal }: Progress) {
    this.#caller = signal
    this.progress = { onEvent, signal: AbortSignal.any([signal, this.#over.signal]) }
  }

  get isOver(): boolean {
    return this.#over.signal.aborted
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.isOver) throw closed()
    const running = work()
    this.#running.add(running)
    try {
      return await running
    } catch (error) {
      const isClosed = this.isOver && !this.#caller.aborted
      if (isTbuildError(error)) throw isClosed && error.code === CANCELED ? closed() : error
      throw this.#caller.aborted ? canceled(error) : isClosed ? closed() : systemError(error)
    } finally {
      this.#running.delete(running)
    }
  }

  /** Whatever is still under way is nobody's: a pull beside the one that failed, a pause before another try. */
  async end(): Promise<void> {
    this.#over.abort(new Error('the build is over'))
    await Promise.allSettled(this.#running)
  }
}

/** What waits for other builds says it by itself, of any end of its signal. */
const CANCELED = 'CANCELED'

function canceled(cause: unknown): TbuildError {
  return new TbuildError(CANCELED, 'the build was canceled', { exitCode: 130, cause })
}

function closed(): TbuildError {
  return new TbuildError('BUILD_CLOSED', 'the build is closed', { hint: 'open it again: what it made is in the store' })
}

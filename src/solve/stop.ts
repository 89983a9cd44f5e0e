/** What ends a walk before its time: its caller, or the first step that failed by itself. What others reject with afterwards is only its echo. */
export class Stop {
  /** The caller's, and aborted by the first failure. The caller's may outlive many builds, so nothing is attached to it. */
  readonly signal: AbortSignal
  readonly #caller: AbortSignal
  readonly #abort = new AbortController()
  readonly #running = new Set<Promise<unknown>>()
  #failure: unknown

  constructor(caller: AbortSignal) {
    this.#caller = caller
    this.signal = AbortSignal.any([caller, this.#abort.signal])
  }

  /** It has ended when `after` resolves. */
  track<T>(work: Promise<T>): Promise<T> {
    const settled = work.finally(() => this.#running.delete(settled))
    this.#running.add(settled)
    return settled
  }

  failed(failure: unknown): void {
    this.#failure ??= failure
    this.#abort.abort(failure)
  }

  /** Stops all that is tracked, and gives what the walk rejects with after an error. */
  async after(error: unknown): Promise<unknown> {
    this.#abort.abort(error)
    await Promise.allSettled(this.#running)
    return this.#caller.aborted ? this.#caller.reason : (this.#failure ?? error)
  }
}

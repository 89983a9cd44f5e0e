import { setImmediate as nextTurn } from 'node:timers/promises'
import { steadyMilliseconds } from './clock.ts'

/** Milliseconds of work between two turns of the event loop: logs and signals keep flowing. */
const SLICE = 10

/** For loops of synchronous system calls: `if (slice.isOver()) await slice.yield()`. */
export class TimeSlice {
  readonly #signal: AbortSignal | undefined
  #since = steadyMilliseconds()
  #calls = 0

  constructor(signal?: AbortSignal) {
    this.#signal = signal
    signal?.throwIfAborted()
  }

  isOver(): boolean {
    // The clock is asked every 16th time only.
    return (++this.#calls & 15) === 0 && steadyMilliseconds() - this.#since > SLICE
  }

  async yield(): Promise<void> {
    await nextTurn()
    this.#signal?.throwIfAborted()
    this.#since = steadyMilliseconds()
  }
}

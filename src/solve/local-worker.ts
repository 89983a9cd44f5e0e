import PQueue from 'p-queue'
import type { Ref } from '../ops/ref.ts'
import { handlerOf } from '../ops/table.ts'
import type { StepDeps } from '../ops/types.ts'
import { neededLayers } from './needed-layers.ts'
import type { StepRequest, Worker, WorkerIo } from './worker.ts'

/** How many steps run at once. */
export interface Slots {
  readonly least: number
  /** While steps wait for a slot, more run where the machine has nothing to do. */
  readonly spare?: { steps(): number; forget(): void } | undefined
}

/** So that a generated Dockerfile of a thousand stages is no thousand processes. */
const MOST = 256
/** Milliseconds between two looks at the machine, whose clock ticks every 10. */
const LOOK = 100

/** Runs ops in this process, so many at once. */
export class LocalWorker implements Worker {
  readonly #deps: StepDeps
  readonly #slots: Slots
  readonly #queue: PQueue
  #looking: NodeJS.Timeout | undefined

  constructor(deps: StepDeps, slots: Slots) {
    this.#deps = deps
    this.#slots = slots
    this.#queue = new PQueue({ concurrency: slots.least })
  }

  /** What still waits in the queue when the signal aborts sees it when its turn comes: a cleared queue would never settle it. */
  async run(step: StepRequest, io: WorkerIo): Promise<Ref> {
    // What is only named takes no slot.
    if (handlerOf(step.op).key === undefined) return this.#runNow(step, io)
    const ran = this.#queue.add(() => this.#runNow(step, io))
    if (this.#queue.size > 0 && this.#slots.spare !== undefined) this.#looking ??= setInterval(() => this.#look(), LOOK).unref()
    return (await ran) as Ref
  }

  #look(): void {
    const { least, spare } = this.#slots
    if (this.#queue.size > 0) {
      const more = spare?.steps() ?? 0
      this.#queue.concurrency = more === 0 ? least : Math.max(least, Math.min(MOST, this.#queue.pending + more))
      return
    }
    clearInterval(this.#looking)
    this.#looking = undefined
    spare?.forget()
    this.#queue.concurrency = least
  }

  async #runNow(step: StepRequest, { onStart, ...io }: WorkerIo): Promise<Ref> {
    io.signal.throwIfAborted()
    await this.#deps.layers.directories(neededLayers(step), io.signal)
    onStart()
    const { op, root, inputs, wanted } = step
    return handlerOf(op).run(op, { root, inputs, wanted }, this.#deps, io)
  }
}

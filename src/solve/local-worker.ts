import PQueue from 'p-queue'
import type { Ref } from '../ops/ref.ts'
import { handlerOf } from '../ops/table.ts'
import type { StepDeps } from '../ops/types.ts'
import { neededLayers } from './needed-layers.ts'
import type { StepRequest, Worker, WorkerIo } from './worker.ts'

/** Runs ops in this process, so many at once. */
export class LocalWorker implements Worker {
  readonly #deps: StepDeps
  readonly #queue: PQueue

  constructor(deps: StepDeps, slots: number) {
    this.#deps = deps
    this.#queue = new PQueue({ concurrency: slots })
  }

  /** What still waits in the queue when the signal aborts sees it when its turn comes: a cleared queue would never settle it. */
  async run(step: StepRequest, io: WorkerIo): Promise<Ref> {
    // What is only named takes no slot.
    if (handlerOf(step.op).key === undefined) return this.#runNow(step, io)
    return (await this.#queue.add(() => this.#runNow(step, io))) as Ref
  }

  async #runNow(step: StepRequest, { onStart, ...io }: WorkerIo): Promise<Ref> {
    io.signal.throwIfAborted()
    await this.#deps.layers.directories(neededLayers(step), io.signal)
    onStart()
    const { op, root, inputs } = step
    return handlerOf(op).run(op, { root, inputs }, this.#deps, io)
  }
}

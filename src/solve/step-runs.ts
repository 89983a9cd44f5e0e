import { type TbuildError, withSpan } from '../base/errors.ts'
import type { OnEvent } from '../base/events.ts'
import type { Vertex } from '../graph/op.ts'
import type { Ref } from '../ops/ref.ts'
import { handlerOf } from '../ops/table.ts'
import type { StepIo } from '../ops/types.ts'
import type { Snapshot } from '../store/types.ts'
import type { CallerFiles } from './caller-files.ts'
import type { Step } from './step.ts'
import type { StepReports } from './step-reports.ts'
import type { Stop } from './stop.ts'
import type { Withdrawals } from './withdrawals.ts'
import type { Worker } from './worker.ts'

/** How often files are copied that change meanwhile. */
const ATTEMPTS = 3

interface StepRunsDeps {
  readonly worker: Worker
  readonly refused: ReadonlyMap<Vertex, TbuildError> | undefined
  readonly emit: OnEvent
  readonly stop: Stop
  readonly files: CallerFiles
  readonly withdrawals: Withdrawals
  readonly reports: StepReports
}

/** The running of a walk's steps. */
export class StepRuns {
  readonly #deps: StepRunsDeps

  constructor(deps: StepRunsDeps) {
    this.#deps = deps
  }

  io({ vertex: { id } }: Step): StepIo {
    const { stop, emit } = this.#deps
    return { vertex: id, signal: stop.signal, emit }
  }

  async execute(step: Step, inputs: readonly Ref[], root: Snapshot): Promise<Ref> {
    const { reports, stop } = this.#deps
    const silent = handlerOf(step.vertex.op).deferred === true
    if (!silent) step.isReported = true
    let started = false
    const onStart = () => {
      if (!started && !silent && !step.isRemote) reports.started(step)
      started = true
    }
    try {
      const ref = await this.#make(step, inputs, root, onStart)
      step.hasRun = !step.isSource && !step.isRemote
      if (!silent) reports.done(step)
      return ref
    } catch (error) {
      // One that was stopped before it began has nothing to say.
      throw started || !stop.signal.aborted ? this.failed(step, error) : error
    }
  }

  /** Reports it, stops the others, and gives the error with its place. */
  failed(step: Step, error: unknown): unknown {
    const { stop, files, withdrawals, reports } = this.#deps
    const { span } = step.vertex
    const placed = span === undefined ? error : withSpan(error, span)
    const { aborted } = stop.signal
    // It is done again without the source whose fault it is: no failure to show.
    const isEcho = !aborted && withdrawals.isEcho(error, step.since)
    if (isEcho) files.forget(step)
    else if (!aborted) stop.failed(placed)
    reports.failed(step, placed, aborted || isEcho)
    return placed
  }

  /** The caller's files may have changed since they were hashed: what was made is kept only under the key of what it was made of. */
  async #make(step: Step, inputs: readonly Ref[], root: Snapshot, onStart: () => void): Promise<Ref> {
    const { refused, worker, files } = this.#deps
    const refusal = refused?.get(step.vertex)
    if (refusal !== undefined) throw refusal
    const { op } = step.vertex
    const { wanted } = step
    const run = () => worker.run({ op, root, inputs, wanted }, { ...this.io(step), onStart })
    for (let attempt = 1; attempt < ATTEMPTS; attempt += 1) {
      const ref = await run()
      if (!(await files.renew(step))) return ref
    }
    const ref = await run()
    // Somebody writes to them all the time, a log perhaps: nobody can say what was copied.
    if (await files.renew(step)) files.makeUnique(step)
    return ref
  }
}

import { isTbuildError } from '../base/errors.ts'
import type { OnEvent } from '../base/events.ts'
import { bottomUp } from '../base/long-chains.ts'
import type { Vertex } from '../graph/op.ts'
import { belowOf } from '../graph/vertex.ts'
import type { StepKey } from '../ops/step-cache.ts'
import type { Step } from './step.ts'

/** Whoever wants to know why steps run (src/explain). */
export interface Watcher {
  /** `sameFiles`: its key is new, but an earlier build did the same to the same files. */
  hit(vertex: Vertex, sameFiles: boolean): void
  miss(vertex: Vertex, key: StepKey): Promise<void>
  /** In a dry run: the key depends on what these steps would make. */
  unknown(vertex: Vertex, waitsFor: readonly Vertex[]): void
}

interface StepReportsDeps {
  readonly onEvent: OnEvent
  readonly watcher: Watcher | undefined
}

/** The events of a walk's steps. That of a step from a cache comes once. */
export class StepReports {
  readonly #deps: StepReportsDeps

  constructor(deps: StepReportsDeps) {
    this.#deps = deps
  }

  started({ vertex: { id } }: Step): void {
    this.#deps.onEvent({ type: 'started', id, time: Date.now() })
  }

  done({ vertex: { id } }: Step): void {
    this.#deps.onEvent({ type: 'done', id, time: Date.now(), cached: false })
  }

  failed({ vertex: { id } }: Step, error: unknown, canceled: boolean): void {
    const message = isTbuildError(error) ? error.message : String((error as Error)?.message ?? error)
    this.#deps.onEvent({ type: 'failed', id, time: Date.now(), canceled, message })
  }

  /** A hit answers for the steps below it too, but for that of a layer that is found on anything. */
  cached(step: Step, sameFiles = false): void {
    const answered: Step[] = []
    for (let at: Step | undefined = step; at?.isReported === false; at = at === step && step.isIndependent ? undefined : at.root) {
      at.isReported = true
      answered.push(at)
    }
    // In the order of the Dockerfile.
    for (const { isSource, vertex } of answered.reverse()) {
      if (!isSource) this.#deps.watcher?.hit(vertex, sameFiles && vertex === step.vertex)
      this.#deps.onEvent({ type: 'done', id: vertex.id, time: Date.now(), cached: true })
    }
  }

  /** An imported cache may answer for a step without a look at what it is made of: then that was not needed. */
  rest(target: Step): void {
    for (const step of bottomUp(target, belowOf<Step>, NONE)) if (!step.isSource) this.cached(step)
  }
}

const NONE: ReadonlySet<Step> = new Set()

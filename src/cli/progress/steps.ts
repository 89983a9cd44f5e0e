import type { BuildEvent } from '../../base/events.ts'
import { oneLine, plainLine } from '../text.ts'
import { LineSplitter } from './lines.ts'

/** What the terminal shows of a step. */
export interface StepView {
  readonly name: string
  /** In the order in which steps were told of. */
  readonly number: number
  state: 'waiting' | 'running' | 'done' | 'cached' | 'failed' | 'canceled'
  started: number
  ended: number
  /** The last lines of its output. */
  readonly tail: string[]
  /** The line that it has begun, as it printed it. */
  open: string
  /** Transfers that are under way, by item. */
  readonly transfers: Map<string, { current: number; total: number | undefined }>
}

const TAIL = 6

/** A line of a command as it stands below its step. */
export function shownLine(line: string): string {
  return plainLine(line).replaceAll('\t', '  ')
}

/** Folds events into the state of all steps. */
export class StepBook {
  readonly steps = new Map<string, StepView>()
  readonly warnings: Extract<BuildEvent, { type: 'warning' }>[] = []
  readonly #splitters = new Map<string, LineSplitter>()
  /** Each picture asks for these: they are few, and all steps may be thousands. */
  readonly #running = new Set<StepView>()

  /** Returns the step that this event ended. */
  apply(event: BuildEvent): StepView | undefined {
    if (event.type === 'vertex') {
      const [name, number] = [oneLine(event.name), this.steps.size]
      const view: StepView = { name, number, state: 'waiting', started: 0, ended: 0, tail: [], open: '', transfers: new Map() }
      this.steps.set(event.id, view)
      this.#splitters.set(event.id, new LineSplitter())
      return undefined
    }
    if (event.type === 'warning') this.warnings.push(event)
    if (event.type === 'warning' || event.type === 'notice' || event.type === 'explain' || event.type === 'error') return undefined
    const step = this.steps.get(event.id)
    return step && this.#applyTo(step, event)
  }

  running(): StepView[] {
    return [...this.#running].sort((a, b) => a.number - b.number)
  }

  count(state: StepView['state']): number {
    let count = 0
    for (const step of this.steps.values()) if (step.state === state) count += 1
    return count
  }

  #applyTo(
    step: StepView,
    event: Exclude<BuildEvent, { type: 'vertex' | 'warning' | 'notice' | 'explain' | 'error' }>,
  ): StepView | undefined {
    switch (event.type) {
      case 'started':
        step.state = 'running'
        this.#running.add(step)
        step.started = event.time
        return undefined
      case 'log':
        this.#log(step, event)
        return undefined
      case 'progress':
        if (event.done) step.transfers.delete(event.item)
        else step.transfers.set(event.item, { current: event.current, total: event.total })
        return undefined
      case 'done':
        step.state = event.cached ? 'cached' : 'done'
        break
      case 'failed':
        step.state = event.canceled ? 'canceled' : 'failed'
        break
    }
    this.#running.delete(step)
    step.ended = event.time
    if (step.started === 0) step.started = event.time
    step.transfers.clear()
    this.#keep(step, this.#splitters.get(event.id)?.end() ?? [])
    return step
  }

  #log(step: StepView, { id, stream, data }: Extract<BuildEvent, { type: 'log' }>): void {
    const splitter = this.#splitters.get(id)
    if (splitter === undefined) return
    this.#keep(step, splitter.push(stream, data))
    step.open = splitter.rest
  }

  #keep(step: StepView, lines: readonly string[]): void {
    for (const line of lines) {
      const shown = shownLine(line)
      if (shown !== '') step.tail.push(shown)
    }
    if (step.tail.length > TAIL) step.tail.splice(0, step.tail.length - TAIL)
  }
}

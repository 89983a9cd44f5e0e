import type { BuildEvent } from '../../base/events.ts'
import type { Verdict } from '../../base/explanation.ts'
import { oneLine, plainLine, seconds } from '../text.ts'
import { verdictLines } from '../verdict.ts'
import { LineSplitter } from './lines.ts'
import type { Display, Screen } from './types.ts'
import { warningLines } from './warnings.ts'

interface Step {
  readonly name: string
  number?: number
  started?: number
  /** Lines were printed below its name. */
  spoke: boolean
  readonly lines: LineSplitter
}

type Warning = Extract<BuildEvent, { type: 'warning' }>

const SILENT_MILLISECONDS = 200

/**
 * Lines as BuildKit's plain mode: a step gets its number when it is first heard of, and its name again when the output changes over to it.
 *
 *     #7 [build 2/5] RUN npm ci
 *     #7 0.412 added 3 packages
 *     #7 DONE 1.2s
 */
export function plainDisplay(screen: Screen): Display {
  return new Plain(screen)
}

class Plain implements Display {
  private readonly screen: Screen
  private readonly steps = new Map<string, Step>()
  private readonly warnings: Warning[] = []
  private numbered = 0
  private unnamed = new Set<Step>()
  private timer: NodeJS.Timeout | undefined
  private current: Step | undefined

  constructor(screen: Screen) {
    this.screen = screen
  }

  event(event: BuildEvent): void {
    switch (event.type) {
      case 'vertex':
        this.steps.set(event.id, { name: oneLine(event.name), spoke: false, lines: new LineSplitter() })
        return
      case 'warning':
        this.warnings.push(event)
        return
      case 'notice':
        this.print([oneLine(event.message)])
        return
      case 'explain':
        this.explain(event.id, event.verdict)
        return
      default: {
        const step = this.steps.get(event.id)
        if (step === undefined) return
        const lines = this.stepLines(step, event)
        if (lines.length > 0) this.print(lines, step, event.type === 'done')
      }
    }
  }

  close(failed: boolean): void {
    clearTimeout(this.timer)
    const lines = warningLines(this.warnings)
    if (lines.length > 0) this.screen.write(`\n${lines.join('\n')}\n`)
    // The report of the error that follows stands apart.
    if (failed && this.current !== undefined) this.screen.write('\n')
  }

  /** A hit says CACHED soon. */
  private explain(id: string, verdict: Verdict): void {
    const step = this.steps.get(id)
    if (step === undefined || (verdict.state === 'hit' && !verdict.sameFiles)) return
    const lines = verdictLines(verdict, (other) => this.steps.get(other)?.name ?? other)
    this.print(verdict.state === 'miss' ? lines.map((line) => `cache miss: ${line}`) : lines, step)
  }

  private stepLines(step: Step, event: Exclude<BuildEvent, { type: 'vertex' | 'warning' | 'notice' | 'explain' }>): string[] {
    switch (event.type) {
      case 'started':
        step.started = event.time
        this.nameLater(step)
        return []
      case 'log':
        return step.lines.push(event.stream, event.data).map((line) => this.output(step, line, event.time))
      case 'progress':
        return event.done ? [`${oneLine(event.item)} ${amount(event.current, event.total)} done`] : []
      case 'done':
        return [
          ...step.lines.end().map((line) => this.output(step, line, event.time)),
          event.cached ? 'CACHED' : `DONE ${elapsed(step, event.time)}`,
        ]
      case 'failed':
        return [
          ...step.lines.end().map((line) => this.output(step, line, event.time)),
          event.canceled ? 'CANCELED' : `ERROR: ${oneLine(event.message)}`,
        ]
    }
  }

  /** The command's own bytes go to a terminal untouched, elsewhere without colours and control. */
  private output(step: Step, line: string, time: number): string {
    const shown = this.screen.isTTY ? line : plainLine(line)
    return `${((time - (step.started ?? time)) / 1000).toFixed(3)} ${shown}`.trimEnd()
  }

  /** A step that is silent is named when it lasts: its base image may tell of itself first. */
  private nameLater(step: Step): void {
    this.unnamed.add(step)
    this.timer ??= setTimeout(() => {
      this.timer = undefined
      for (const silent of this.unnamed) this.print([], silent)
      this.unnamed.clear()
    }, SILENT_MILLISECONDS).unref()
  }

  private print(lines: readonly string[], step?: Step, isDone = false): void {
    if (lines.length === 0 && step?.number !== undefined) return
    if (step !== undefined) this.unnamed.delete(step)
    let text = ''
    if (step === undefined) text = lines.map((line) => `${line}\n`).join('')
    else {
      if (step !== this.current && this.current !== undefined) text += '\n'
      // A step that says nothing but that it is done is known by its number: its name stands above, alone.
      const isKnown = step.number !== undefined && !step.spoke && isDone && lines.length === 1
      if (step !== this.current && !isKnown) text += `#${this.numberOf(step)} ${step.name}\n`
      for (const line of lines) text += `#${this.numberOf(step)} ${line}\n`
      step.spoke ||= lines.length > 0
      this.current = step
    }
    this.screen.write(text)
  }

  private numberOf(step: Step): number {
    step.number ??= ++this.numbered
    return step.number
  }
}

function elapsed(step: Step, time: number): string {
  return seconds(time - (step.started ?? time))
}

/** `12.3MB / 45.6MB`, in powers of 1000 as BuildKit writes them. */
export function amount(current: number, total: number | undefined): string {
  return total === undefined ? bytes(current) : `${bytes(current)} / ${bytes(total)}`
}

function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = count
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return unit === 0 ? `${value}B` : `${value.toFixed(2)}${units[unit]}`
}

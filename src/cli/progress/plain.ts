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
  /** The line that it has begun and not ended. */
  begun?: BegunLine | undefined
}

interface BegunLine {
  /** Of its first piece, of the event. */
  readonly time: number
  /** What of it stands on the screen, where the cursor is still behind it. */
  shown?: string | undefined
  /** When its first and its last piece came that is not shown, by our own clock. */
  since: number
  heard: number
}

type Warning = Extract<BuildEvent, { type: 'warning' }>

const SILENT_MILLISECONDS = 200

/** A line without an end is shown when nothing more of it has come for so long, and at the latest: */
const STILL_MILLISECONDS = 50
const LATEST_MILLISECONDS = 500
/** Of a line that is written over again and again (a progress bar) in a place that is no terminal, a state that stands so long. */
const STANDING_MILLISECONDS = 3000

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
  readonly #screen: Screen
  readonly #steps = new Map<string, Step>()
  readonly #warnings: Warning[] = []
  #numbered = 0
  #unnamed = new Set<Step>()
  #timer: NodeJS.Timeout | undefined
  #current: Step | undefined
  /** The step in whose begun line the cursor stands. */
  #open: Step | undefined
  /** Steps that have begun a line of which not everything is shown. */
  readonly #waiting = new Set<Step>()
  #prompter: NodeJS.Timeout | undefined

  constructor(screen: Screen) {
    this.#screen = screen
  }

  event(event: BuildEvent): void {
    switch (event.type) {
      case 'vertex':
        this.#steps.set(event.id, { name: oneLine(event.name), spoke: false, lines: new LineSplitter() })
        return
      case 'warning':
        this.#warnings.push(event)
        return
      case 'notice':
        this.#print([oneLine(event.message)])
        return
      case 'explain':
        this.#explain(event.id, event.verdict)
        return
      case 'error':
        // The report says it.
        return
      default: {
        const step = this.#steps.get(event.id)
        if (step === undefined) return
        if (event.type === 'log') this.#log(step, event)
        if (event.type === 'done' || event.type === 'failed') this.#output(step, step.lines.end(), event.time)
        const lines = this.#stepLines(step, event)
        if (lines.length > 0) this.#print(lines, step, event.type === 'done')
      }
    }
  }

  close(failed: boolean): void {
    clearTimeout(this.#timer)
    clearTimeout(this.#prompter)
    this.#leaveLine()
    const lines = warningLines(this.#warnings)
    if (lines.length > 0) this.#screen.write(`\n${lines.join('\n')}\n`)
    // The report of the error that follows stands apart.
    if (failed && this.#current !== undefined) this.#screen.write('\n')
  }

  /** A hit says CACHED soon. */
  #explain(id: string, verdict: Verdict): void {
    const step = this.#steps.get(id)
    if (step === undefined || (verdict.state === 'hit' && !verdict.sameFiles)) return
    const lines = verdictLines(verdict, (other) => this.#steps.get(other)?.name ?? other)
    this.#print(verdict.state === 'miss' ? lines.map((line) => `cache miss: ${line}`) : lines, step)
  }

  #stepLines(step: Step, event: Exclude<BuildEvent, { type: 'vertex' | 'warning' | 'notice' | 'explain' | 'error' }>): string[] {
    switch (event.type) {
      case 'started':
        step.started = event.time
        this.#nameLater(step)
        return []
      case 'log':
        return []
      case 'progress':
        return event.done ? [`${oneLine(event.item)} ${amount(event.current, event.total)} done`] : []
      case 'done':
        return [event.cached ? 'CACHED' : `DONE ${elapsed(step, event.time)}`]
      case 'failed':
        return [event.canceled ? 'CANCELED' : `ERROR: ${oneLine(event.message)}`]
    }
  }

  #log(step: Step, { stream, data, time }: Extract<BuildEvent, { type: 'log' }>): void {
    this.#output(step, step.lines.push(stream, data), time)
    if (step.lines.rest === '') return
    const now = Date.now()
    step.begun ??= { time, since: now, heard: now }
    step.begun.heard = now
    if (!this.#waiting.has(step)) step.begun.since = now
    this.#waiting.add(step)
    this.#prompter ??= setTimeout(() => this.#showBegun(), STILL_MILLISECONDS).unref()
  }

  /** Lines that are complete; the first may have been begun before. */
  #output(step: Step, lines: readonly string[], time: number): void {
    const [first, ...more] = lines
    if (first === undefined) return
    const begun = step.begun
    step.begun = undefined
    this.#waiting.delete(step)
    const shown = this.#open === step ? begun?.shown : undefined
    const text = this.#shown(first)
    if (shown !== undefined && text.startsWith(shown)) {
      this.#open = undefined
      this.#screen.write(`${text.slice(shown.length)}\n`)
      if (more.length === 0) return
      this.#print(
        more.map((line) => this.#timed(step, line, time)),
        step,
      )
    } else {
      this.#print([this.#timed(step, first, begun?.time ?? time), ...more.map((line) => this.#timed(step, line, time))], step)
    }
  }

  /** The command's own bytes go to a terminal untouched, elsewhere without colours and control. */
  #shown(line: string): string {
    return this.#screen.isTTY ? line : plainLine(line)
  }

  #timed(step: Step, line: string, time: number): string {
    return `${stamp(step, time)} ${this.#shown(line)}`.trimEnd()
  }

  /** Lines that have no end and that nothing follows: who waits for an answer has asked. */
  #showBegun(): void {
    this.#prompter = undefined
    const now = Date.now()
    for (const step of this.#waiting) {
      const { begun } = step
      const text = this.#shown(step.lines.rest.replace(UNFINISHED, ''))
      const goesOn = begun?.shown === undefined || text.startsWith(begun.shown)
      if (begun === undefined) this.#waiting.delete(step)
      else if (
        now - begun.heard >= (goesOn ? STILL_MILLISECONDS : STANDING_MILLISECONDS) ||
        (goesOn && now - begun.since >= LATEST_MILLISECONDS)
      ) {
        this.#waiting.delete(step)
        this.#begin(step, begun, text)
      }
    }
    if (this.#waiting.size > 0) this.#prompter = setTimeout(() => this.#showBegun(), STILL_MILLISECONDS).unref()
  }

  #begin(step: Step, begun: BegunLine, text: string): void {
    if (text === '' || text === begun.shown) return
    const shown = this.#open === step ? begun.shown : undefined
    if (shown !== undefined && text.startsWith(shown)) this.#screen.write(text.slice(shown.length))
    else {
      this.#leaveLine()
      this.#screen.write(`${this.#heading(step)}#${this.#numberOf(step)} ${stamp(step, begun.time)} ${text}`)
      this.#current = step
      step.spoke = true
    }
    begun.shown = text
    this.#open = step
  }

  /** Something else comes below a line that has no end yet; when that goes on, it is written whole, as BuildKit writes it. */
  #leaveLine(): void {
    if (this.#open === undefined) return
    this.#screen.write('\n')
    if (this.#open.begun !== undefined) this.#open.begun.shown = undefined
    this.#open = undefined
  }

  /** A step that is silent is named when it lasts: its base image may tell of itself first. */
  #nameLater(step: Step): void {
    this.#unnamed.add(step)
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      for (const silent of this.#unnamed) this.#print([], silent)
      this.#unnamed.clear()
    }, SILENT_MILLISECONDS).unref()
  }

  #print(lines: readonly string[], step?: Step, isDone = false): void {
    if (lines.length === 0 && step?.number !== undefined) return
    this.#leaveLine()
    let text = ''
    if (step === undefined) text = lines.map((line) => `${line}\n`).join('')
    else {
      // A step that says nothing but that it is done is known by its number: its name stands above, alone.
      const isKnown = step.number !== undefined && !step.spoke && isDone && lines.length === 1
      text = this.#heading(step, isKnown)
      for (const line of lines) text += `#${this.#numberOf(step)} ${line}\n`
      step.spoke ||= lines.length > 0
      this.#current = step
    }
    this.#screen.write(text)
  }

  /** Before the first line of a step, and where the output changes over to it. */
  #heading(step: Step, isKnown = false): string {
    this.#unnamed.delete(step)
    if (step === this.#current) return ''
    return `${this.#current === undefined ? '' : '\n'}${isKnown ? '' : `#${this.#numberOf(step)} ${step.name}\n`}`
  }

  #numberOf(step: Step): number {
    step.number ??= ++this.#numbered
    return step.number
  }
}

/** A control sequence of which only the beginning has come. */
const UNFINISHED = new RegExp(`${String.fromCharCode(27)}(?:\\[[0-?]*[ -/]*)?$`)

/** Seconds since the step began. */
function stamp(step: Step, time: number): string {
  return ((time - (step.started ?? time)) / 1000).toFixed(3)
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

import type { Ora } from 'ora'
import type { BuildEvent } from '../../base/events.ts'
import type { Verdict } from '../../base/explanation.ts'
import { cut, oneLine } from '../text.ts'
import { verdictLines } from '../verdict.ts'
import { finished, frame, painter, summary } from './frame.ts'
import { StepBook } from './steps.ts'
import { type Display, type Screen, screenSize } from './types.ts'
import { warningLines } from './warnings.ts'

/** A build that ends sooner shows no spinner, and does not pay for loading one. */
const QUIET_MILLISECONDS = 150

/** A smaller terminal shows no moving part: what does not fit cannot be drawn over. */
const SMALLEST = { columns: 20, rows: 4 }
/** How soon it is seen that a terminal has become too small, or large enough. */
const FIT_MILLISECONDS = 200

/** One line for each running step with its time and its last output below; ended steps scroll away above. */
export function ttyDisplay(screen: Screen, env: NodeJS.ProcessEnv): Display {
  return new Terminal(screen, env)
}

class Terminal implements Display {
  readonly #screen: Screen
  readonly #env: NodeJS.ProcessEnv
  readonly #book = new StepBook()
  readonly #begun = Date.now()
  #timer: NodeJS.Timeout
  #spinner: Ora | undefined
  #closed = false

  constructor(screen: Screen, env: NodeJS.ProcessEnv) {
    this.#screen = screen
    this.#env = env
    this.#timer = setTimeout(() => void this.#spin(), QUIET_MILLISECONDS)
  }

  event(event: BuildEvent): void {
    const ended = this.#book.apply(event)
    if (ended) this.#above(finished(ended, this.#columns(), painter(this.#env)))
    if (event.type === 'notice') this.#above(oneLine(event.message))
    if (event.type === 'explain') this.#explain(event.id, event.verdict)
  }

  #explain(id: string, verdict: Verdict): void {
    if (verdict.state === 'hit' && !verdict.sameFiles) return
    const nameOf = (step: string) => this.#book.steps.get(step)?.name ?? step
    this.#above(cut(nameOf(id), this.#columns()))
    for (const line of verdictLines(verdict, nameOf)) this.#above(cut(`  ${line}`, this.#columns()))
  }

  close(failed: boolean): void {
    this.#closed = true
    clearInterval(this.#timer)
    this.#spinner?.stop()
    const lines = [...(failed ? [] : [summary(this.#book, Date.now() - this.#begun)]), ...warningLines(this.#book.warnings)]
    if (lines.length > 0) this.#screen.write(`${lines.join('\n')}\n`)
  }

  async #spin(): Promise<void> {
    const [{ default: ora }, { spinnerStream }] = await Promise.all([import('ora'), import('./spinner-stream.ts')])
    if (this.#closed) return
    this.#spinner = ora({
      stream: spinnerStream(this.#screen),
      // Ctrl-C must reach us as a signal, and stdin may be the context.
      discardStdin: false,
      isEnabled: true,
      text: 'Building',
      suffixText: () => this.#frame(),
    })
    this.#fit()
    this.#timer = setInterval(() => this.#fit(), FIT_MILLISECONDS)
  }

  #fit(): void {
    const { columns, rows } = screenSize(this.#screen)
    const fits = columns >= SMALLEST.columns && rows >= SMALLEST.rows
    if (fits && !this.#spinner?.isSpinning) this.#spinner?.start()
    if (!fits && this.#spinner?.isSpinning) this.#spinner.stop()
  }

  #frame(): string {
    const lines = frame(this.#book, Date.now(), screenSize(this.#screen), painter(this.#env))
    return lines.length === 0 ? '' : `\n${lines.join('\n')}`
  }

  /** A line that stays, above the moving part. */
  #above(line: string): void {
    this.#spinner?.clear()
    this.#screen.write(`${line}\n`)
    if (this.#spinner?.isSpinning) this.#spinner.render()
  }

  #columns(): number {
    return Math.max(SMALLEST.columns, screenSize(this.#screen).columns)
  }
}

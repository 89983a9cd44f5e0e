import { cut, oneLine, seconds, textWidth } from '../text.ts'
import { amount } from './plain.ts'
import { type StepBook, type StepView, shownLine } from './steps.ts'

/** Ways to mark text; the identity when colours are off. */
export type Paint = (style: 'dim' | 'green' | 'red' | 'cyan', text: string) => string

const CODES = { dim: [2, 22], green: [32, 39], red: [31, 39], cyan: [36, 39] } as const
const ESC = String.fromCharCode(27)

/** NO_COLOR (no-color.org): any value but the empty one turns colours off. */
export function painter(env: NodeJS.ProcessEnv): Paint {
  if (env.NO_COLOR) return (_style, text) => text
  return (style, text) => `${ESC}[${CODES[style][0]}m${text}${ESC}[${CODES[style][1]}m`
}

/** The moving part: a line for each running step, the newest output below, never more than `rows` lines or wider than `columns`. */
export function frame(book: StepBook, now: number, size: { columns: number; rows: number }, paint: Paint): string[] {
  const running = book.running()
  const room = Math.max(1, size.rows - 2)
  const shown = running.slice(0, running.length > room ? room - 1 : room)
  const tails = tailsFor(shown, room - shown.length)
  const lines = shown.flatMap((step) => [
    row(step.name, detail(step), seconds(now - step.started), size.columns),
    ...(tails.get(step) ?? []).map((line) => paint('dim', cut(`    ${line}`, size.columns - 1))),
  ])
  if (shown.length < running.length) lines.push(cut(`  … and ${running.length - shown.length} more`, size.columns - 1))
  return lines
}

/** Lines of output a step may show: the room is shared evenly. */
function tailsFor(steps: readonly StepView[], room: number): Map<StepView, string[]> {
  const each = steps.length === 0 ? 0 : Math.floor(room / steps.length)
  return new Map(steps.map((step) => [step, each === 0 ? [] : newest(step).slice(-Math.min(each, 6))]))
}

/** A line is shown when it begins: it may be a question. */
function newest({ tail, open }: StepView): readonly string[] {
  const begun = shownLine(open)
  return begun === '' ? tail : [...tail, begun]
}

function detail(step: StepView): string {
  const [first, ...more] = step.transfers
  if (first === undefined) return ''
  const [item, { current, total }] = first
  return ` ${oneLine(item)} ${amount(current, total)}${more.length > 0 ? ` +${more.length}` : ''}`
}

/** The name on the left and the time at the right border. The last column stays free: some terminals wrap when it is written. */
function row(name: string, extra: string, time: string, columns: number): string {
  const width = columns - 1 - textWidth(time) - 1
  const left = cut(`  ${name}${extra}`, width)
  return `${left}${' '.repeat(Math.max(0, width - textWidth(left)))} ${time}`
}

/** The line that stays when a step has ended. */
export function finished(step: StepView, columns: number, paint: Paint): string {
  const [mark, style, time] = ((): [string, 'green' | 'red' | 'cyan' | 'dim', string] => {
    switch (step.state) {
      case 'cached':
        return ['✔', 'cyan', 'CACHED']
      case 'failed':
        return ['✖', 'red', seconds(step.ended - step.started)]
      case 'canceled':
        return ['–', 'dim', 'canceled']
      default:
        return ['✔', 'green', seconds(step.ended - step.started)]
    }
  })()
  const line = row(step.name, '', time, columns).slice(2)
  return `${paint(style, mark)} ${step.state === 'cached' || step.state === 'canceled' ? paint('dim', line) : line}`
}

/** `Built in 3.2s: 9 steps, 4 cached` */
export function summary(book: StepBook, milliseconds: number): string {
  const cached = book.count('cached')
  const total = cached + book.count('done')
  return `Built in ${seconds(milliseconds)}: ${total} ${total === 1 ? 'step' : 'steps'}, ${cached} cached`
}

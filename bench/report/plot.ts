import type { Case, Report } from '../result.ts'
import { type Spread, seconds, spread } from '../statistics.ts'

/** Colours that differ for the colour-blind, too, on white and on black (Okabe and Ito). */
const COLOURS = ['#d55e00', '#0072b2', '#009e73', '#cc79a7', '#b88700', '#56b4e9', '#808080']
const [LEFT, WIDTH, ROW, TOP] = [330, 960, 22, 60]

/** Medians as dots on a logarithmic axis of seconds, with a line from the least to the most. Readable on light and dark pages. */
export function plot(report: Report): string {
  const rows = report.cases.map((one) => ({ label: labelOf(one), spreads: spreadsOf(report, one) }))
  const found = rows.flatMap(({ spreads }) => spreads.flatMap(({ figures }) => (figures === undefined ? [] : [figures])))
  const scale = scaleOf(found)
  const height = TOP + rows.length * ROW + 20
  const body = [
    ...report.builders.map(({ name }, index) => legend(name, index)),
    ...scale.marks.map((mark) => axis(mark, scale.place(mark), height)),
    ...rows.flatMap(({ label, spreads }, index) => {
      const y = TOP + index * ROW + ROW / 2
      const marks = spreads.flatMap(({ colour, figures }) => (figures === undefined ? [] : [dot(figures, colour, y, scale.place)]))
      return [`<text x="${LEFT - 10}" y="${y + 4}" text-anchor="end">${escaped(label)}</text>`, ...marks]
    }),
  ]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">
<title>Seconds of each builder for each load, the median and the least and most</title>
<style>text { fill: #222 } .axis { stroke: #ccc } @media (prefers-color-scheme: dark) { text { fill: #ddd } .axis { stroke: #555 } }</style>
${body.join('\n')}
</svg>
`
}

const labelOf = ({ load, name, amount, unit }: Case) => `${load}: ${name}, ${amount.toLocaleString('en')} ${unit}`

function spreadsOf({ builders }: Report, one: Case) {
  return builders.map(({ name }, index) => ({ colour: colourOf(index), figures: spread(one.outcomes[name], seconds) }))
}

const colourOf = (index: number) => COLOURS[index % COLOURS.length] as string

interface Scale {
  /** Seconds that have a line. */
  readonly marks: readonly number[]
  /** The x of a number of seconds. */
  place(seconds: number): number
}

/** Whole powers of ten around all figures. */
function scaleOf(figures: readonly Spread[]): Scale {
  // What has no time at all has no logarithm.
  const least = Math.max(0.001, Math.min(1, ...figures.map((one) => one.least)))
  const most = Math.max(1, ...figures.map((one) => one.most))
  const [low, high] = [Math.floor(Math.log10(least)), Math.max(Math.ceil(Math.log10(most)), Math.floor(Math.log10(least)) + 1)]
  const place = (value: number) => LEFT + ((Math.log10(Math.max(value, 0.001)) - low) / (high - low)) * (WIDTH - LEFT - 30)
  return { marks: Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index)), place }
}

function legend(name: string, index: number): string {
  const x = LEFT + index * 110
  return `<circle cx="${x}" cy="20" r="5" fill="${colourOf(index)}"/><text x="${x + 10}" y="24">${escaped(name)}</text>`
}

function axis(mark: number, x: number, height: number): string {
  return `<line class="axis" x1="${x.toFixed(1)}" x2="${x.toFixed(1)}" y1="${TOP - 8}" y2="${height - 15}"/><text x="${x.toFixed(1)}" y="${TOP - 14}" text-anchor="middle">${Number(mark.toPrecision(1))} s</text>`
}

function dot({ median, least, most }: Spread, colour: string, y: number, place: (seconds: number) => number): string {
  const [from, to, middle] = [least, most, median].map((value) => place(value).toFixed(1))
  return `<line x1="${from}" x2="${to}" y1="${y}" y2="${y}" stroke="${colour}" stroke-width="2"/><circle cx="${middle}" cy="${y}" r="5" fill="${colour}"/>`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

import type { Case, Outcome, Report, Sample } from '../result.ts'
import { bestPeer, growth, isGoalMet, memory, processors, ratioTo, SUBJECT, seconds, spread, timeOf } from '../statistics.ts'

/** The whole report: what was measured where, the tables, and what failed. */
export function markdown(report: Report): string {
  const parts = [machineLines(report), timeTable(report), usageTable(report), growthTable(report), failureLines(report)]
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`
}

function machineLines({ machine, rounds, builders }: Report): string {
  const facts = Object.entries(machine).map(([what, value]) => `${what}: ${value}`)
  const versions = builders.map(({ name, version, notes }) => `- ${name} ${version}${notes.map((note) => `; ${note}`).join('')}`)
  return [`${facts.join(' · ')}; medians of ${rounds} rounds, builders in turn`, '', ...versions].join('\n')
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return ''
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`
  return [line(head), line(head.map((_, index) => (index < 2 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}

const placeOf = ({ load, name, amount, unit }: Case) => [`${load}: ${name}`, `${amount.toLocaleString('en')} ${unit}`]

/** Three digits that count. */
export function figure(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '–'
  if (value >= 100) return value.toFixed(0)
  return value.toFixed(value >= 10 ? 1 : 2)
}

function cell(outcome: Outcome | undefined, measure: (sample: Sample) => number): string {
  if (outcome?.failure !== undefined) return 'failed'
  const found = spread(outcome, measure)
  return found === undefined ? '–' : `${figure(found.median)} (${figure(found.least)}–${figure(found.most)})`
}

function goalText({ goal }: Case): string {
  const parts = [goal?.best === undefined ? [] : [`${goal.best}`], goal?.docker === undefined ? [] : [`${goal.docker} × docker`]]
  return parts.flat().join(', ') || '–'
}

function timeTable(report: Report): string {
  const others = report.builders.filter(({ isPeer, name }) => !isPeer && name !== SUBJECT).map(({ name }) => name)
  const names = report.builders.map(({ name }) => name)
  const head = [
    'load',
    'amount',
    ...names.map((name) => `${name}, s`),
    '÷ best peer',
    '÷ docker',
    ...others.map((name) => `÷ ${name}`),
    'goal',
    'met',
  ]
  const rows = report.cases.map((one) => {
    const best = bestPeer(report, one)
    const met = isGoalMet(report, one)
    return [
      ...placeOf(one),
      ...names.map((name) => cell(one.outcomes[name], seconds)),
      best === undefined ? '–' : `${figure(ratioTo(one, best))} (${best})`,
      figure(ratioTo(one, 'docker')),
      ...others.map((name) => figure(ratioTo(one, name))),
      goalText(one),
      met === undefined ? '–' : met ? 'yes' : 'no',
    ]
  })
  return table(head, rows)
}

/** Processors and memory, of a command and its daemon together. */
function usageTable({ builders, cases }: Report): string {
  const names = builders.map(({ name }) => name)
  const head = ['load', 'amount', ...names.map((name) => `${name}, CPU s`), ...names.map((name) => `${name}, MiB`)]
  const mebibytes = (sample: Sample) => memory(sample) / 2 ** 20
  const rows = cases.map((one) => [
    ...placeOf(one),
    ...names.map((name) => figure(spread(one.outcomes[name], processors)?.median)),
    ...names.map((name) => figure(spread(one.outcomes[name], mebibytes)?.median)),
  ])
  return table(head, rows)
}

/** How the time grows from the smallest to the largest amount of a case. */
function growthTable({ builders, cases }: Report): string {
  const names = builders.map(({ name }) => name)
  const rows = pairs(cases).map(([small, large]) => [
    `${large.load}: ${large.name}`,
    `${small.amount.toLocaleString('en')} → ${large.amount.toLocaleString('en')} ${large.unit}`,
    figure(large.amount / small.amount),
    ...names.map((name) => growthCell(small, large, name)),
  ])
  return table(['load', 'amounts', 'ratio', ...names.map((name) => `${name}: ratio of times (exponent)`)], rows)
}

function pairs(cases: readonly Case[]): (readonly [Case, Case])[] {
  const groups = new Map<string, Case[]>()
  for (const one of cases) groups.set(`${one.load}: ${one.name}`, [...(groups.get(`${one.load}: ${one.name}`) ?? []), one])
  return [...groups.values()].flatMap((group) => {
    const [small, large] = [group[0] as Case, group.at(-1) as Case]
    return small.amount < large.amount ? [[small, large] as const] : []
  })
}

function growthCell(small: Case, large: Case, builder: string): string {
  const [before, after] = [timeOf(small, builder), timeOf(large, builder)]
  if (before === undefined || after === undefined) return '–'
  const { time, exponent } = growth({ amount: small.amount, time: before }, { amount: large.amount, time: after })
  return `${figure(time)} (${exponent.toFixed(2)})`
}

function failureLines({ cases }: Report): string {
  const lines = cases.flatMap((one) =>
    Object.entries(one.outcomes).flatMap(([name, { failure }]) =>
      failure === undefined ? [] : [`- ${name} failed at ${placeOf(one).join(', ')}: ${failure.split('\n').slice(0, 3).join(' ')}`],
    ),
  )
  return lines.join('\n')
}

import type { Case, Outcome, Report, Sample } from './result.ts'

/** The middle value; of an even number the mean of the two in the middle. NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]]
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2
}

export interface Spread {
  readonly median: number
  readonly least: number
  readonly most: number
}

/** Of what `figure` gives of each run; undefined where the builder failed or did not run. */
export function spread(outcome: Outcome | undefined, figure: (sample: Sample) => number): Spread | undefined {
  if (outcome === undefined || outcome.failure !== undefined || outcome.samples.length === 0) return undefined
  const values = outcome.samples.map(figure)
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) }
}

export const seconds = (sample: Sample) => sample.seconds
/** Of the command and of its daemon. */
export const processors = (sample: Sample) => sample.processors + (sample.daemon?.processors ?? 0)
export const memory = (sample: Sample) => sample.memory + (sample.daemon?.memory ?? 0)

/** The median seconds of a builder in a case; undefined where it failed or did not run. */
export const timeOf = (one: Case, builder: string) => spread(one.outcomes[builder], seconds)?.median

/** The name of the measured checkout among the builders. */
export const SUBJECT = 'tbuild'

/** tbuild's median divided by the one of a builder. */
export function ratioTo(one: Case, builder: string): number | undefined {
  const [ours, theirs] = [timeOf(one, SUBJECT), timeOf(one, builder)]
  return ours === undefined || theirs === undefined ? undefined : ours / theirs
}

/** The peer with the least median, of those that gave a right result. */
export function bestPeer({ builders }: Pick<Report, 'builders'>, one: Case): string | undefined {
  const ranked = builders.flatMap(({ name, isPeer }) => {
    const time = timeOf(one, name)
    return isPeer && time !== undefined ? [{ name, time }] : []
  })
  return ranked.sort((a, b) => a.time - b.time)[0]?.name
}

/** Whether the goals of a case that can be told are met; undefined when none can. */
export function isGoalMet(report: Pick<Report, 'builders'>, one: Case): boolean | undefined {
  const best = bestPeer(report, one)
  const compared = [
    { goal: one.goal?.best, ratio: best === undefined ? undefined : ratioTo(one, best) },
    { goal: one.goal?.docker, ratio: ratioTo(one, 'docker') },
  ]
  const told = compared.flatMap(({ goal, ratio }) => (goal === undefined || ratio === undefined ? [] : [ratio <= goal]))
  return told.length === 0 ? undefined : told.every(Boolean)
}

export interface Growth {
  /** The larger amount divided by the smaller one. */
  readonly amount: number
  readonly time: number
  /** 1: time grows as the amount does. Below 1: a fixed part is in it. Above 1: it grows faster. */
  readonly exponent: number
}

export function growth(small: { amount: number; time: number }, large: { amount: number; time: number }): Growth {
  const [amount, time] = [large.amount / small.amount, large.time / small.time]
  return { amount, time, exponent: Math.log(time) / Math.log(amount) }
}

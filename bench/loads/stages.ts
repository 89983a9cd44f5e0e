import { lines } from '../content.ts'
import type { Load } from './load.ts'

/** Independent stages with one RUN each, and what collects a file of each: a hundred a collector, since docker's store takes no more than 125 layers. */
function dockerfile(base: string, count: number, command: (index: number) => string): string {
  const stages = lines(count, (index) => `FROM ${base} AS s${index}\nRUN ${command(index)}`)
  const collectors = Math.ceil(count / 100)
  const collect = (number: number) =>
    lines(Math.min(100, count - number * 100), (index) => `COPY --from=s${number * 100 + index} /o /p${number * 100 + index}`)
  const collected = Array.from({ length: collectors }, (_, number) => `FROM scratch AS c${number}\n${collect(number)}`).join('')
  return `${stages}${collected}FROM scratch\n${lines(collectors, (number) => `COPY --from=c${number} / /`)}`
}

export const stages: Load = {
  name: 'stages',
  about: 'stages that are independent of one another, with a small RUN each, without the cache',
  unit: 'stages',
  amounts: { quick: 20, small: 100, large: 1_000 },
  async measure(site) {
    const { amount, ground } = site
    const context = site.context(
      'context',
      dockerfile(ground.busybox, amount, (index) => `echo ${ground.mark} ${index} > /o`),
    )
    await site.measure({
      name: 'stages',
      goal: { best: 0.25 },
      run: (builder) => site.export(builder, context, { noCache: true }),
      async check(builder) {
        await site.expectFiles(builder, amount)
        await site.expectBeginning(builder, `p${amount - 1}`, `${ground.mark} ${amount - 1}`)
      },
    })
  },
}

/** What a loop of this many turns takes: about 1 s of a processor of today. */
const TURNS = 400_000

/** A command that keeps a processor busy, and leaves the number of its turns in $i. */
export const BUSY = `i=0; while [ $i -lt ${TURNS} ]; do i=$((i+1)); done`

export const busyStages: Load = {
  name: 'busy-stages',
  about: 'independent stages that keep a processor busy for about a second each, without the cache',
  unit: 'stages',
  amounts: { quick: 2, small: 2, large: 6 },
  async measure(site) {
    const { amount, ground } = site
    const context = site.context(
      'context',
      dockerfile(ground.busybox, amount, (index) => `${BUSY}; echo $i ${index} > /o`),
    )
    await site.measure({
      name: 'CPU-bound',
      goal: { best: 0.8 },
      run: (builder) => site.export(builder, context, { noCache: true }),
      check: (builder) => site.expectBeginning(builder, `p${amount - 1}`, `${TURNS} ${amount - 1}`),
    })
  },
}

const WAIT = 3

export const waitingStages: Load = {
  name: 'waiting-stages',
  about: `independent stages that wait ${WAIT} s each, without the cache`,
  unit: 'stages',
  amounts: { quick: 2, small: 2, large: 8 },
  async measure(site) {
    const { amount, ground } = site
    const context = site.context(
      'context',
      dockerfile(ground.busybox, amount, (index) => `sleep ${WAIT}; echo ${ground.mark} ${index} > /o`),
    )
    await site.measure({
      name: 'waiting',
      goal: { best: 0.8 },
      run: (builder) => site.export(builder, context, { noCache: true }),
      check: (builder) => site.expectBeginning(builder, `p${amount - 1}`, `${ground.mark} ${amount - 1}`),
    })
  },
}

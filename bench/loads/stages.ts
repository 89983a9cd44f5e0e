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

/** Independent stages that differ in what they run: `command` writes /o, which begins with what `written` says. */
function stagesOf(
  about: Omit<Load, 'measure'> & { readonly case: string; readonly goal: number },
  step: (mark: string, index: number) => { readonly command: string; readonly written: string },
): Load {
  return {
    ...about,
    async measure(site) {
      const { amount, ground } = site
      const context = site.context(
        'context',
        dockerfile(ground.busybox, amount, (index) => step(ground.mark, index).command),
      )
      await site.measure({
        name: about.case,
        goal: { best: about.goal },
        run: (builder) => site.export(builder, context, { noCache: true }),
        async check(builder) {
          await site.expectFiles(builder, amount)
          await site.expectBeginning(builder, `p${amount - 1}`, step(ground.mark, amount - 1).written)
        },
      })
    },
  }
}

export const stages = stagesOf(
  {
    name: 'stages',
    about: 'stages that are independent of one another, with a small RUN each, without the cache',
    unit: 'stages',
    amounts: { quick: 20, small: 100, large: 1_000 },
    case: 'stages',
    goal: 0.25,
  },
  (mark, index) => ({ command: `echo ${mark} ${index} > /o`, written: `${mark} ${index}` }),
)

/** What a loop of this many turns takes: about 1 s of a processor of today. */
const TURNS = 400_000

/** A command that keeps a processor busy, and leaves the number of its turns in $i. */
export const BUSY = `i=0; while [ $i -lt ${TURNS} ]; do i=$((i+1)); done`

export const busyStages = stagesOf(
  {
    name: 'busy-stages',
    about: 'independent stages that keep a processor busy for about a second each, without the cache',
    unit: 'stages',
    amounts: { quick: 2, small: 2, large: 6 },
    case: 'CPU-bound',
    goal: 0.8,
  },
  (_mark, index) => ({ command: `${BUSY}; echo $i ${index} > /o`, written: `${TURNS} ${index}` }),
)

const WAIT = 3

export const waitingStages = stagesOf(
  {
    name: 'waiting-stages',
    about: `independent stages that wait ${WAIT} s each, without the cache`,
    unit: 'stages',
    amounts: { quick: 2, small: 2, large: 8 },
    case: 'waiting',
    goal: 0.8,
  },
  (mark, index) => ({ command: `sleep ${WAIT}; echo ${mark} ${index} > /o`, written: `${mark} ${index}` }),
)

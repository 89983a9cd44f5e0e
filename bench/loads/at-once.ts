import { lines, writeContext } from '../content.ts'
import type { Load } from './load.ts'
import { BUSY } from './stages.ts'

export const atOnce: Load = {
  name: 'at-once',
  about: 'two builds of one Dockerfile at once, whose steps keep a processor busy for about a second each: nobody has to run a step twice',
  unit: 'steps',
  amounts: { quick: 2, small: 2, large: 6 },
  async measure(site) {
    const { amount, ground } = site
    const context = site.path('context')
    const step = (round: number, index: number) => `RUN ${BUSY}; echo ${ground.mark} ${round} > /o${index}`
    await site.measure({
      name: 'two builds',
      prepare: (round) => void writeContext(context, `FROM ${ground.busybox}\n${lines(amount, (index) => step(round, index))}`),
      run(builder) {
        const one = (suffix: string) => site.store(builder, context, { tag: site.tag(builder, suffix) })
        return { atOnce: [...one('-a'), ...one('-b')] }
      },
      async check(builder) {
        for (const suffix of ['-a', '-b']) await site.expectLayers(builder, 1 + amount, site.tag(builder, suffix))
      },
    })
  },
}

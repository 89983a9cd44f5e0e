import { lines } from '../content.ts'
import type { Load } from './load.ts'

export const runs: Load = {
  name: 'runs',
  about: 'small RUN steps one after the other, without the cache',
  unit: 'steps',
  amounts: { quick: 5, small: 10, large: 30 },
  async measure(site) {
    const { amount, ground } = site
    const context = site.context('context', `FROM ${ground.busybox}\n${lines(amount, (index) => `RUN echo ${index} > /r${index}`)}`)
    await site.measure({
      name: 'small RUN',
      goal: { best: 0.15 },
      run: (builder) => site.store(builder, context, { noCache: true }),
      check: (builder) => site.expectLayers(builder, 1 + amount),
    })
  },
}

import { lines } from '../content.ts'
import { Failure } from '../run.ts'
import type { Load } from './load.ts'

export const instructions: Load = {
  name: 'instructions',
  about: 'a Dockerfile of ENV and LABEL in turn: looked at for mistakes without a build, and built',
  unit: 'instructions',
  amounts: { quick: 500, small: 1_000, large: 5_000 },
  async measure(site) {
    const { amount, ground } = site
    const step = (index: number) => (index % 2 === 0 ? `ENV V${index}=${index}` : `LABEL l${index}=${ground.mark}`)
    const context = site.context('context', `FROM ${ground.busybox}\n${lines(amount, step)}`)
    await site.measure({
      name: 'check',
      run: (builder) => builder.check?.(context, site.storeOf(builder)),
      // That it was read to its end: the exit status is all that there is.
      check: async () => {},
    })
    await site.measure({
      name: 'build',
      run: (builder) => site.store(builder, context, { noCache: true }),
      async check(builder) {
        const inspected = await site.inspected(builder)
        const last = amount - 1 - (amount % 2)
        if (inspected?.includes(`"l${last}"`) === false) throw new Failure(`wrong result: the image has no label l${last}`)
      },
    })
  },
}

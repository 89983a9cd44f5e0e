import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Failure } from '../run.ts'
import { longDockerfile, longFiles } from './cached.ts'
import type { Load } from './load.ts'

export const explain: Load = {
  name: 'explain',
  about: 'why would the steps of a long build run after its first file has changed? No peer answers this',
  unit: 'steps',
  amounts: { quick: 20, small: 100, large: 500 },
  async measure(site) {
    const { amount, ground } = site
    const context = site.context('context', longDockerfile(ground.busybox, amount), longFiles(amount, ground.mark))
    for (const builder of ground.builders.filter((one) => one.explain !== undefined))
      await ground.runner.inTurn(site.store(builder, context))
    await site.measure({
      name: 'one file changed',
      prepare: (round) => writeFileSync(join(context, 'f1'), `changed ${ground.mark} ${round}`),
      run: (builder) => builder.explain?.(context, site.storeOf(builder)),
      async check() {
        if (!/^MISS .*\n +f1: content changed$/m.test(ground.runner.printed())) throw new Failure('wrong result: the change is not named')
      },
    })
  },
}

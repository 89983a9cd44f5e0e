import { lines } from '../content.ts'
import type { Site } from '../site.ts'
import type { Load } from './load.ts'

/** docker's store takes no image of more than 125 layers: longer chains go on in another stage. */
const A_STAGE = 100

/** RUN and COPY (of f1, f3 and so on) in turn, in a stage for each hundred; the last one copies a file of each earlier one. */
export function longDockerfile(base: string, steps: number): string {
  const step = (index: number) => (index % 2 === 0 ? `RUN echo ${index} > /r${index}` : `COPY f${index} /c/`)
  const stages = Math.ceil(steps / A_STAGE)
  const stage = (number: number) => {
    const first = number * A_STAGE
    const body = lines(Math.min(A_STAGE, steps - first), (index) => step(first + index))
    const earlier = number === stages - 1 ? lines(stages - 1, (other) => `COPY --from=s${other} /r${other * A_STAGE} /`) : ''
    return `FROM ${base} AS s${number}\n${body}${earlier}`
  }
  return Array.from({ length: stages }, (_, number) => stage(number)).join('')
}

/** Files for a long Dockerfile, by name. */
export function longFiles(steps: number, mark: string): Record<string, string> {
  return Object.fromEntries(Array.from({ length: steps }, (_, index) => [`f${index}`, `${index} ${mark}`]))
}

export const cached: Load = {
  name: 'cached',
  about: 'RUN and COPY in turn, all of them cached, exported to an OCI archive that is there already',
  unit: 'steps',
  amounts: { quick: 10, small: 10, large: 200 },
  async measure(site: Site) {
    const { amount, ground } = site
    const context = site.context('context', longDockerfile(ground.busybox, amount), longFiles(amount, ground.mark))
    const stages = Math.ceil(amount / A_STAGE)
    const layers = 1 + (amount - (stages - 1) * A_STAGE) + stages - 1
    await site.measure({
      name: 'cached',
      goal: { best: 0.9, docker: 0.25 },
      run: (builder) => site.export(builder, context),
      check: async (builder) => {
        await site.expectBeginning(builder, `c/f${amount - 1}`, `${amount - 1} ${ground.mark}`)
        await site.expectLayers(builder, layers)
      },
    })
  },
}

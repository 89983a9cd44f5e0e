import { lines, writeRandom, writeText } from '../content.ts'
import type { Load } from './load.ts'

const MB = 1_000_000

export const bigRun: Load = {
  name: 'big-run',
  about: 'a RUN that writes one large file of random bytes, without the cache, exported to an OCI archive (gzip)',
  unit: 'MB',
  amounts: { quick: 50, small: 150, large: 600 },
  async measure(site) {
    const { amount, ground } = site
    const context = site.context(
      'context',
      `FROM ${ground.busybox}\nRUN head -c ${amount * MB} /dev/urandom > /big && echo ${ground.mark} > /mark\n`,
    )
    await site.measure({
      name: 'RUN and export',
      goal: { best: 0.4 },
      run: (builder) => site.export(builder, context, { noCache: true }),
      async check(builder) {
        await site.expectBeginning(builder, 'mark', ground.mark)
        await site.expectSize(builder, 'big', amount * MB)
      },
    })
  },
}

/** Layers of one file of text each; `shape`: how many there are, and how large each is, for an amount. */
function textLayers(
  about: Omit<Load, 'measure'> & { readonly case: string },
  shape: (amount: number) => { readonly count: number; readonly bytes: number },
): Load {
  return {
    ...about,
    async measure(site) {
      const { ground } = site
      const { count, bytes } = shape(site.amount)
      const mark = (round: number, index: number) => `${ground.mark} ${round} ${index}`
      let context = ''
      await site.measure({
        name: about.case,
        goal: { best: 0.4 },
        prepare(round) {
          context = site.context(`context-${round}`, `FROM scratch\n${lines(count, (index) => `COPY f${index} /`)}`)
          for (let index = 0; index < count; index += 1) writeText(`${context}/f${index}`, bytes, mark(round, index))
        },
        run: (builder) => site.export(builder, context),
        async check(builder, round) {
          await site.expectFiles(builder, count)
          for (const index of spread(count)) await site.expectBeginning(builder, `f${index}`, `${mark(round, index)} `)
          await site.expectSize(builder, `f${count - 1}`, bytes)
        },
      })
    },
  }
}

/** The first, the last, and two between: to look for each of very many takes longer than to build them. */
function spread(count: number): readonly number[] {
  return [0, 1, 2, 3].map((third) => Math.round((third * (count - 1)) / 3))
}

export const layers = textLayers(
  {
    name: 'layers',
    about: 'four layers of one large file of text each, built and exported to an OCI archive (gzip)',
    unit: 'MB a layer',
    amounts: { quick: 10, small: 40, large: 150 },
    case: 'four layers',
  },
  (amount) => ({ count: 4, bytes: amount * MB }),
)

export const manyLayers = textLayers(
  {
    name: 'many-layers',
    about: 'many layers of 0.4 MB of text each, built and exported to an OCI archive (gzip)',
    unit: 'layers',
    amounts: { quick: 10, small: 30, large: 120 },
    case: 'small layers',
  },
  (amount) => ({ count: amount, bytes: 0.4 * MB }),
)

/** Files of one context, so that COPY has more than one to read. */
const LARGE_FILES = 8

export const largeFiles: Load = {
  name: 'large-files',
  about: 'COPY of eight large files, half of them text and half random bytes, exported to an OCI archive (gzip)',
  unit: 'MB',
  amounts: { quick: 80, small: 400, large: 2_000 },
  async measure(site) {
    const { amount, ground } = site
    const bytes = (amount * MB) / LARGE_FILES
    let context = ''
    await site.measure({
      name: 'build and export',
      goal: { best: 0.4 },
      prepare(round) {
        context = site.context(`context-${round}`, 'FROM scratch\nCOPY f* /\n')
        for (let index = 0; index < LARGE_FILES; index += 1) {
          if (index % 2 === 0) writeText(`${context}/f${index}`, bytes, `${ground.mark} ${round} ${index}`)
          else writeRandom(`${context}/f${index}`, bytes)
        }
      },
      run: (builder) => site.export(builder, context),
      async check(builder, round) {
        await site.expectFiles(builder, LARGE_FILES)
        await site.expectBeginning(builder, 'f0', `${ground.mark} ${round} 0 `)
        await site.expectSize(builder, `f${LARGE_FILES - 1}`, bytes)
      },
    })
  },
}

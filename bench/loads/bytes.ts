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

const LAYERS = 4

export const layers: Load = {
  name: 'layers',
  about: 'four layers of one large file of text each, built and exported to an OCI archive (gzip)',
  unit: 'MB a layer',
  amounts: { quick: 10, small: 40, large: 150 },
  async measure(site) {
    const { amount, ground } = site
    let context = ''
    await site.measure({
      name: 'four layers',
      goal: { best: 0.4 },
      prepare(round) {
        context = site.context(`context-${round}`, `FROM scratch\n${lines(LAYERS, (index) => `COPY f${index} /`)}`)
        for (let index = 0; index < LAYERS; index += 1) writeText(`${context}/f${index}`, amount * MB, `${ground.mark} ${round} ${index}`)
      },
      run: (builder) => site.export(builder, context),
      async check(builder, round) {
        await site.expectFiles(builder, LAYERS)
        for (let index = 0; index < LAYERS; index += 1) {
          await site.expectBeginning(builder, `f${index}`, `${ground.mark} ${round} ${index} `)
          await site.expectSize(builder, `f${index}`, amount * MB)
        }
      },
    })
  },
}

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

const SMALL_LAYER = 0.4 * MB

export const manyLayers: Load = {
  name: 'many-layers',
  about: 'many layers of 0.4 MB of text each, built and exported to an OCI archive (gzip)',
  unit: 'layers',
  amounts: { quick: 10, small: 30, large: 120 },
  async measure(site) {
    const { amount, ground } = site
    let context = ''
    await site.measure({
      name: 'small layers',
      goal: { best: 0.4 },
      prepare(round) {
        context = site.context(`context-${round}`, `FROM scratch\n${lines(amount, (index) => `COPY f${index} /`)}`)
        for (let index = 0; index < amount; index += 1) writeText(`${context}/f${index}`, SMALL_LAYER, `${ground.mark} ${round} ${index}`)
      },
      run: (builder) => site.export(builder, context),
      async check(builder, round) {
        await site.expectFiles(builder, amount)
        await site.expectBeginning(builder, `f${amount - 1}`, `${ground.mark} ${round} ${amount - 1} `)
      },
    })
  },
}

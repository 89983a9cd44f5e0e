import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { smallFile, writeSmallFiles } from '../content.ts'
import type { Site } from '../site.ts'
import type { Load } from './load.ts'

/** In the middle of the tree. */
const changedFile = (site: Site) => smallFile(Math.floor(site.amount / 2))

/** Each round has files that nobody has seen; the folder of the last round is what the other cases go on with. */
async function cold(site: Site): Promise<string> {
  let context = ''
  const mark = (round: number) => `${site.ground.mark}-${round}`
  await site.measure({
    name: 'cold',
    goal: { best: 0.4 },
    prepare(round) {
      context = site.context(`context-${round}`, 'FROM scratch\nCOPY files /files\n')
      writeSmallFiles(join(context, 'files'), site.amount, mark(round))
    },
    run: (builder) => site.export(builder, context),
    async check(builder, round) {
      await site.expectFiles(builder, site.amount)
      await site.expectBeginning(builder, `files/${smallFile(0)}`, `${mark(round)} 0 `)
    },
  })
  return context
}

async function unchanged(site: Site, context: string): Promise<void> {
  await site.measure({
    name: 'unchanged',
    goal: { best: 0.25 },
    run: (builder) => site.export(builder, context),
    check: (builder) => site.expectFiles(builder, site.amount),
  })
}

async function oneChanged(site: Site, context: string): Promise<void> {
  const content = (round: number) => `changed ${site.ground.mark} ${round}`
  await site.measure({
    name: 'one changed',
    goal: { best: 0.25 },
    prepare: (round) => writeFileSync(join(context, 'files', changedFile(site)), content(round)),
    run: (builder) => site.export(builder, context),
    async check(builder, round) {
      await site.expectFiles(builder, site.amount)
      await site.expectBeginning(builder, `files/${changedFile(site)}`, content(round))
    },
  })
}

export const copy: Load = {
  name: 'copy',
  about: 'COPY of a tree of small files (4 KiB on the average) and its export to an OCI archive',
  unit: 'files',
  amounts: { quick: 2_000, small: 20_000, large: 100_000 },
  async measure(site) {
    const context = await cold(site)
    await unchanged(site, context)
    await oneChanged(site, context)
  },
}

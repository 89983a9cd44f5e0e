import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expectEqual } from '../check.ts'
import { smallFile, writeSmallFiles, writeText } from '../content.ts'
import type { Peer } from '../peers/builder.ts'
import { pushedLayers, pushedTop } from '../registry.ts'
import { Failure } from '../run.ts'
import type { Site } from '../site.ts'
import type { Load } from './load.ts'

const MB = 1_000_000
const SMALL_FILES = 200

/** A repository of this bench and this builder alone: what another one pushed is not there already, and all of it is removed from docker's store. */
const reference = (site: Site, { name }: Peer) => `${site.ground.registry}/tbuild-bench/${site.ground.mark}/${name}-${site.amount}:latest`

function writeImage(site: Site): string {
  const context = site.context('context', 'FROM scratch\nCOPY large /\nCOPY files /files\n')
  writeText(join(context, 'large'), site.amount * MB, site.ground.mark)
  writeSmallFiles(join(context, 'files'), SMALL_FILES, site.ground.mark)
  return context
}

async function pushChange(site: Site, context: string): Promise<void> {
  const content = (round: number) => `changed ${site.ground.mark} ${round}`
  await site.measure({
    name: 'push, one file changed',
    goal: { best: 0.3 },
    prepare: (round) => writeFileSync(join(context, 'files', smallFile(0)), content(round)),
    run: (builder) => site.push(builder, context, reference(site, builder)),
    async check(builder, round) {
      const top = await pushedTop(reference(site, builder))
      if (!top.includes(content(round))) throw new Failure('wrong result: what was pushed has not the changed file')
    },
  })
}

export const again: Load = {
  name: 'again',
  about: `an image of one large file of text and ${SMALL_FILES} small files: exported and pushed again unchanged, and pushed with one small file changed`,
  unit: 'MB',
  amounts: { quick: 20, small: 50, large: 400 },
  async measure(site) {
    const context = writeImage(site)
    await site.measure({
      name: 'export unchanged',
      goal: { best: 0.1 },
      run: (builder) => site.export(builder, context),
      check: (builder) => site.expectFiles(builder, 1 + SMALL_FILES),
    })
    await site.measure({
      name: 'push unchanged',
      goal: { best: 0.1 },
      run: (builder) => site.push(builder, context, reference(site, builder)),
      check: async (builder) => expectEqual('layers', (await pushedLayers(reference(site, builder))).length, 2),
    })
    await pushChange(site, context)
  },
}

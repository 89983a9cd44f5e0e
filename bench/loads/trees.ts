import { join } from 'node:path'
import { writeContext, writeSmallFiles } from '../content.ts'
import type { Site } from '../site.ts'
import type { Load } from './load.ts'

/** A stage `tree` with small files, and a last step on it that differs in each round: the stage is cached, the step is not. */
async function measureOnTree(site: Site, name: string, last: (round: number) => string): Promise<void> {
  const { amount, ground } = site
  const context = site.path('context')
  writeSmallFiles(join(context, 'files'), amount, ground.mark)
  await site.measure({
    name,
    prepare: (round) => void writeContext(context, `FROM ${ground.busybox} AS tree\nCOPY files /files\n${last(round)}\n`),
    run: (builder) => site.export(builder, context),
    check: (builder) => site.expectFilesOnTop(builder, amount),
  })
}

const amounts = { quick: 2_000, small: 20_000, large: 100_000 }

export const copyFrom: Load = {
  name: 'copy-from',
  about: 'COPY --from of a tree of small files in a cached stage, exported to an OCI archive',
  unit: 'files',
  amounts,
  measure: (site) => measureOnTree(site, 'copy', (round) => `FROM scratch\nCOPY --from=tree /files /files-${round}`),
}

export const chown: Load = {
  name: 'chown',
  about: 'RUN chown -R of a tree of small files in the cached layer below, exported to an OCI archive',
  unit: 'files',
  amounts,
  measure: (site) => measureOnTree(site, 'chown -R', (round) => `RUN chown -R ${1000 + round}:${1000 + round} /files`),
}

import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { layersOf } from '../check.ts'
import { pushLayout } from '../registry.ts'
import { root } from '../root.ts'
import { Failure } from '../run.ts'
import type { Site } from '../site.ts'
import type { Load } from './load.ts'

/** scripts/base-images.mjs: what FROM of each sample is called, and the base that stands for it. */
interface Bases {
  readonly SAMPLES: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** The folder of an OCI layout. */
  baseImage(name: string): Promise<string>
}

async function measureSample(site: Site, bases: Bases, sample: string): Promise<void> {
  const { registry, mark } = site.ground
  const images: Record<string, string> = {}
  for (const [from, base] of Object.entries(bases.SAMPLES[sample] ?? {}))
    images[from] = await pushLayout(registry, `tbuild-bench/${base}`, await bases.baseImage(base), mark)
  await site.measure({
    name: sample,
    run: (builder) => site.store(builder, join(root, 'samples', sample), { images, noCache: true, network: 'host' }),
    async check(builder) {
      const inspected = await site.inspected(builder)
      if (inspected !== undefined && layersOf(inspected) === 0) throw new Failure('wrong result: an image without layers')
    },
  })
}

export const samples: Load = {
  name: 'samples',
  about: 'the samples, the first of them or all, without the cache; their bases are made of Debian packages, once a checkout',
  unit: 'samples',
  amounts: { quick: 1, small: 1, large: 5 },
  async measure(site) {
    const bases = (await import(pathToFileURL(join(root, 'scripts/base-images.mjs')).href)) as Bases
    for (const sample of Object.keys(bases.SAMPLES).slice(0, site.amount)) await measureSample(site, bases, sample)
  },
}

import { type BaseImage, type Compression, pushBaseImage } from '../base-image.ts'
import type { Site } from '../site.ts'
import type { Load } from './load.ts'

const MB = 1_000_000

async function measurePull(site: Site, layers: number, compression: Compression): Promise<void> {
  const { amount, ground } = site
  const name = `${layers === 1 ? 'one layer' : `${layers} layers`}, ${compression}`
  let context = ''
  await site.measure({
    name,
    goal: { best: 0.5 },
    async prepare(round) {
      const place = `${layers}-${compression}-${round}`
      const image: BaseImage = { layers, bytes: amount * MB, compression, mark: `${ground.mark} ${place}` }
      const base = await pushBaseImage(
        ground.registry,
        `tbuild-bench/base-${ground.mark}-${place}`,
        site.path(`base-${place}`),
        '/bin/busybox',
        image,
      )
      context = site.context(`context-${place}`, `FROM ${base}\nRUN echo ${ground.mark} > /mark\n`)
    },
    run: (builder) => site.store(builder, context),
    check: (builder) => site.expectLayers(builder, layers + 1),
  })
}

export const pull: Load = {
  name: 'pull',
  about:
    'a base image that nobody has seen, of one layer and of ten, pulled and unpacked for one RUN; half small files, half one large file a layer',
  unit: 'MB',
  amounts: { quick: 10, small: 50, large: 400 },
  async measure(site) {
    for (const compression of ['gzip', 'zstd'] as const) for (const layers of [1, 10]) await measurePull(site, layers, compression)
  },
}

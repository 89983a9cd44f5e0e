import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { canonicalJson } from '../../src/base/canonical-json.ts'
import { sha256 } from '../../src/base/digest.ts'
import { makeLayerFolder, randomLayerId } from '../../src/store/layers.ts'
import { openStore } from '../../src/store/store.ts'
import type { KeyPart, LayerId } from '../../src/store/types.ts'

interface Filling {
  readonly records: number
  /** Bytes of what a record was keyed by. */
  readonly parts: number
  /** Steps of a stage: a record has the layers of all before it, too. */
  readonly chain: number
}

/** Makes the store what very many builds leave, through its own functions. */
export async function fillStore(root: string, { records, parts: size, chain }: Filling): Promise<void> {
  const store = await openStore(root)
  let layers: readonly LayerId[] = []
  for (let index = 0; index < records; index += 1) {
    const below = index % chain === 0 ? [] : layers
    const prepared = store.temporary()
    writeFileSync(join(makeLayerFolder(prepared).fs, `file-${index}`), 'x')
    const id = randomLayerId()
    await store.layers.install(prepared, id)
    await store.layers.update(id, { parent: below, size: 4096 })
    layers = [...below, id]
    const parts: KeyPart[] = [
      { name: 'args', value: ['/bin/sh', '-c', `echo ${index} `.padEnd(size, 'x')] },
      { name: 'content 1', value: sha256(`content ${index}`) },
    ]
    const used = new Date(1_700_000_000_000 + index * 1000).toISOString()
    const shown = { step: `step ${index}`, name: `RUN echo ${index}`, place: `Dockerfile:${index}` }
    await store.cache.save({
      version: 1,
      key: sha256(canonicalJson(parts as never)),
      parts,
      ...shown,
      layers,
      created: used,
      lastUsed: used,
    })
  }
  await store.close()
}

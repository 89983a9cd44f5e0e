import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { hexOf, sha256 } from '../../../src/base/digest.ts'
import { imageLayers } from '../../../src/layers/image-layers.ts'
import { LayerNames } from '../../../src/layers/layer-names.ts'
import type { LayerId, Snapshot } from '../../../src/store/types.ts'
import { MediaType } from '../../../src/values/oci.ts'
import { type CountedCatalog, committed, countedCatalog } from '../../support/catalog.ts'
import { file } from '../tar/items.ts'

let machines: readonly [CountedCatalog, CountedCatalog]
beforeEach(async () => {
  machines = [await countedCatalog(), await countedCatalog()]
})
afterEach(async () => {
  for (const machine of machines) await machine.dispose()
})

/** A step on a step, and one that was made over none, as COPY --link does it. */
async function steps({ snapshots }: CountedCatalog): Promise<Snapshot> {
  const bottom = await committed(snapshots, [file('a', 'a')])
  const linked = await committed(snapshots, [file('b', 'b')])
  return [bottom, linked, await committed(snapshots, [file('c', 'c')], [bottom, linked])]
}

describe('the names of layers', () => {
  test('are the same on two machines, which call the layers by ids of their own', async () => {
    const [here, there] = [await steps(machines[0]), await steps(machines[1])]
    const [names, others] = [await new LayerNames(machines[0].catalog).of(here), await new LayerNames(machines[1].catalog).of(there)]
    expect(here).not.toEqual(there)
    expect(names).toEqual(others)
    expect(names.map(({ over }) => over.length)).toEqual([0, 0, 2])
  })

  test('of an image are the chainIDs, which its layers are called by here, and nothing is fetched or written for them', async () => {
    const { catalog, counts } = machines[0]
    const blob = { mediaType: MediaType.ociLayerGzip, digest: sha256('blob'), size: 1 }
    const layers = imageLayers([sha256('one'), sha256('two')], [blob, blob])
    const blobs = async () => Promise.reject(new Error('nothing is fetched'))
    catalog.offer(layers, { name: 'x', trust: 'vouched', origin: undefined, pull: undefined, blob: blobs })
    const ids = layers.map(({ id }) => id)
    const names = await new LayerNames(catalog).of(ids)
    expect(names.map(({ digest }) => hexOf(digest))).toEqual(ids)
    expect(counts.writes).toBe(0)
  })

  test('are measured once', async () => {
    const { catalog, counts } = machines[0]
    const snapshot = await steps(machines[0])
    const names = new LayerNames(catalog)
    const before = counts.writes
    await Promise.all([names.of(snapshot), names.of(snapshot)])
    await names.of(snapshot)
    expect(counts.writes - before).toBe(snapshot.length)
  })

  test('lead to the layers again, and to none of other content or made over others', async () => {
    const [here, there] = [await steps(machines[0]), await steps(machines[1])]
    const names = await new LayerNames(machines[0].catalog).of(here)
    const [, linked] = there as readonly [LayerId, LayerId]
    const alone = await committed(machines[1].snapshots, [file('c', 'c')], [linked])
    const others = new LayerNames(machines[1].catalog)
    const top = names.at(-1)
    if (top === undefined) throw new Error('there are three')
    // Nobody has asked for their diffIDs.
    expect(await others.find(top, [...there, alone])).toBeUndefined()
    await others.of([...there, alone])
    expect(await Promise.all(names.map((name) => others.find(name, [alone, ...there])))).toEqual(there)
  })
})

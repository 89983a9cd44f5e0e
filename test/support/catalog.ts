import { openCatalog } from '../../src/layers/catalog.ts'
import type { LayerCatalog } from '../../src/layers/types.ts'
import { createSnapshotter } from '../../src/snapshot/snapshotter.ts'
import type { Snapshotter } from '../../src/snapshot/types.ts'
import type { Store } from '../../src/store/store.ts'
import type { LayerId, Snapshot } from '../../src/store/types.ts'
import { readTar } from '../../src/tar/read.ts'
import { unpackLayer } from '../../src/tree/unpack.ts'
import { layeredView } from '../../src/tree/view.ts'
import { layerWriter } from '../../src/tree/writer.ts'
import { temporaryStore } from '../suites/temporary-store.ts'
import { chunks, type Whole, write } from '../unit/tar/items.ts'

/** What was asked of the store. */
interface Counts {
  /** `layers/<id>.json` read, and written. */
  reads: number
  writes: number
  /** Tars that became blobs. */
  packed: number
  /** Looks for a blob. */
  stats: number
  /** Questions where layers are. */
  claims: number
}

export interface CountedCatalog {
  readonly catalog: LayerCatalog
  readonly store: Store
  readonly snapshots: Snapshotter
  readonly counts: Counts
  dispose(): Promise<void>
}

/** The catalog of an operation on a store of its own, which counts what is asked of it. */
export async function countedCatalog(signal = new AbortController().signal): Promise<CountedCatalog> {
  const { store, dispose } = await temporaryStore()
  const snapshots = createSnapshotter(store)
  const counts: Counts = { reads: 0, writes: 0, packed: 0, stats: 0, claims: 0 }
  const count = <A extends unknown[], R>(name: keyof Counts, work: (...args: A) => R) => {
    return (...args: A): R => {
      counts[name] += 1
      return work(...args)
    }
  }
  const catalog = openCatalog({
    snapshots,
    blobs: { ...store.blobs, put: count('packed', store.blobs.put), stat: count('stats', store.blobs.stat) },
    locks: store.locks,
    layers: {
      ...store.layers,
      recall: count('reads', store.layers.recall),
      update: count('writes', store.layers.update),
      claim: count('claims', store.layers.claim),
    },
    maxBytes: 2 ** 30,
    signal,
  })
  return { catalog, store, snapshots, counts, dispose }
}

/** A layer that a step made: nobody has asked for its diffID. */
export async function committed(snapshots: Snapshotter, items: readonly Whole[], parent: Snapshot = []): Promise<LayerId> {
  const active = await snapshots.prepare(parent)
  await unpackLayer(readTar(chunks(await write(items))), layerWriter(active.upper, layeredView(active.lower)))
  return snapshots.commit(active, { info: { parent, created: '2024-01-01T00:00:00Z' } })
}

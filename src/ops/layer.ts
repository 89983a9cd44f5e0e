import type { ActiveLayer } from '../snapshot/types.ts'
import { layerError } from '../store/store-error.ts'
import type { Snapshot } from '../store/types.ts'
import type { Ref } from './ref.ts'
import type { Tools } from './types.ts'

/** Makes one layer over `parent`: `fill` writes it, then it is committed, or thrown away when anything fails. */
export async function makeLayer(parent: Snapshot, tools: Tools, fill: (active: ActiveLayer) => Promise<void>): Promise<Snapshot> {
  await tools.baseLayers.ensure(parent, tools.signal)
  const active = await tools.snapshots.prepare(parent)
  try {
    await fill(active)
    tools.signal.throwIfAborted()
    const id = await tools.snapshots.commit(active, { info: { created: new Date().toISOString(), parent } })
    return [...parent, id]
  } catch (error) {
    await tools.snapshots.discard(active)
    throw layerError(error)
  }
}

export function snapshotRef(layers: Snapshot): Ref {
  return { kind: 'snapshot', layers }
}

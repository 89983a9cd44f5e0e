import type { ActiveLayer } from '../snapshot/types.ts'
import { layerError } from '../store/store-error.ts'
import type { Snapshot } from '../store/types.ts'
import type { Ref } from './ref.ts'
import type { LayerDeps, StepIo } from './types.ts'

/** Makes one layer over `parent`: `fill` writes it, then it is committed, or thrown away when anything fails. */
export async function makeLayer(
  parent: Snapshot,
  { snapshots, layers }: LayerDeps,
  { signal }: Pick<StepIo, 'signal'>,
  fill: (active: ActiveLayer) => Promise<void>,
): Promise<Snapshot> {
  await layers.directories(parent, signal)
  const active = await snapshots.prepare(parent)
  try {
    await fill(active)
    signal.throwIfAborted()
    const id = await snapshots.commit(active, { info: { created: new Date().toISOString(), parent } })
    return [...parent, id]
  } catch (error) {
    await snapshots.discard(active)
    throw layerError(error)
  }
}

export function snapshotRef(layers: Snapshot): Ref {
  return { kind: 'snapshot', layers }
}

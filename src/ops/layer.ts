import type { BlobForm } from '../layers/types.ts'
import type { ActiveLayer } from '../snapshot/types.ts'
import { layerError } from '../store/store-error.ts'
import type { Snapshot } from '../store/types.ts'
import type { DeferredFiles } from '../tree/deferred-files.ts'
import type { Ref } from './ref.ts'
import type { CopyDeps, LayerDeps, StepIo } from './types.ts'

/** Makes one layer over `parent`: `fill` writes it, then it is committed, or thrown away when anything fails. */
export async function makeLayer(
  parent: Snapshot,
  { snapshots, layers }: LayerDeps,
  { signal }: Pick<StepIo, 'signal'>,
  fill: (active: ActiveLayer) => Promise<unknown>,
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

/**
 * Makes one layer over `parent` that is in the store as a blob alone: what `fill` leaves out of the directory goes from where it is into the blob. Undefined when
 * the layer can only be made as a directory, as when a source has extended attributes or changes meanwhile.
 */
export async function makePackedLayer(
  parent: Snapshot,
  { snapshots, layers }: PackedLayerDeps,
  { signal }: Pick<StepIo, 'signal'>,
  form: BlobForm,
  fill: (active: ActiveLayer) => Promise<DeferredFiles>,
): Promise<Snapshot | undefined> {
  await layers.directories(parent, signal)
  const active = await snapshots.prepare(parent)
  try {
    const { upper, lower } = active
    const id = await layers.add({ upper, lower, deferred: await fill(active), parent, created: new Date().toISOString() }, form, signal)
    return id === undefined ? undefined : [...parent, id]
  } catch (error) {
    throw layerError(error)
  } finally {
    await snapshots.discard(active)
  }
}

type PackedLayerDeps = Pick<CopyDeps, 'layers' | 'snapshots'>

export function snapshotRef(layers: Snapshot): Ref {
  return { kind: 'snapshot', layers }
}

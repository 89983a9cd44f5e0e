import { sideBySide } from '../base/side-by-side.ts'
import type { Locks } from '../store/locks.ts'
import { type PackedLayer, type UnpackTools, unpackBlob } from './unpack-blob.ts'

/** Layers fetched at once. */
export const PARALLEL_FETCHES = 3

export interface LayerStore extends UnpackTools {
  readonly locks: Pick<Locks, 'singleFlight'>
}

export interface Unpacking<L> {
  /** Brings the layer's blob into the blob store. */
  fetch(layer: L): Promise<unknown>
  /** Put around the unpacking of one layer. */
  guard?(layer: L, unpack: () => Promise<unknown>): Promise<unknown>
  readonly signal: AbortSignal | undefined
}

/** Makes directories of layers, from the bottom, while those above are being fetched. */
export async function unpackLayers<L extends PackedLayer>(
  layers: readonly L[],
  store: LayerStore,
  { fetch, guard = (_layer, unpack) => unpack(), signal }: Unpacking<L>,
): Promise<void> {
  const fetches = sideBySide(
    layers.map((layer) => () => fetch(layer)),
    PARALLEL_FETCHES,
  )
  for (const [index, layer] of layers.entries()) {
    await fetches[index]
    // Of all processes that want the layer one unpacks it.
    const isThere = async () => (await store.snapshots.has(layer.id)) || undefined
    await guard(layer, () => store.locks.singleFlight(`layer-${layer.id}`, isThere, () => unpackBlob(layer, store, signal), { signal }))
  }
}

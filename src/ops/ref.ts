import type { ContextFiles } from '../context/contexts.ts'
import type { BaseLayers } from '../layers/base-layers.ts'
import type { Snapshotter } from '../snapshot/types.ts'
import type { Snapshot } from '../store/types.ts'
import type { TreeView } from '../tree/types.ts'
import { layeredView } from '../tree/view.ts'

/** What an op makes: a root file system, or files that are not in the store. */
export type Ref =
  /** `layers` may be known without being there; `BaseLayers.ensure` fetches what is missing. */
  { readonly kind: 'snapshot'; readonly layers: Snapshot } | ContextFiles

/** To read the files of a ref. */
export interface ViewDeps {
  readonly snapshots: Pick<Snapshotter, 'directories'>
  readonly baseLayers: Pick<BaseLayers, 'ensure'>
}

/** The files of a ref, fetched when they are not there yet; undefined is scratch. */
export async function viewOf(ref: Ref | undefined, { baseLayers, snapshots }: ViewDeps, signal: AbortSignal): Promise<TreeView> {
  if (ref?.kind === 'files') return ref.view
  const layers: Snapshot = ref?.layers ?? []
  await baseLayers.ensure(layers, signal)
  return layeredView(await snapshots.directories(layers))
}

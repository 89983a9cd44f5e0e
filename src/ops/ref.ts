import type { ContextFiles } from '../context/contexts.ts'
import type { LayerCatalog } from '../layers/types.ts'
import type { Snapshot } from '../store/types.ts'
import type { TreeView } from '../tree/types.ts'
import { layeredView } from '../tree/view.ts'

/** What an op makes: a root file system, or files that are not in the store. */
export type Ref =
  /** `layers` may be known without being there; `LayerCatalog.directories` fetches what is missing. */
  { readonly kind: 'snapshot'; readonly layers: Snapshot } | ContextFiles

/** To read the files of a ref. */
export interface ViewDeps {
  readonly layers: Pick<LayerCatalog, 'directories'>
}

/** The files of a ref, fetched when they are not there yet; undefined is scratch. */
export async function viewOf(ref: Ref | undefined, { layers }: ViewDeps, signal: AbortSignal): Promise<TreeView> {
  if (ref?.kind === 'files') return ref.view
  return layeredView(await layers.directories(ref?.layers ?? [], signal))
}

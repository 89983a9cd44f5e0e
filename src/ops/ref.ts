import type { ContextFiles } from '../context/contexts.ts'
import type { Snapshot } from '../store/types.ts'

/** What an op makes: a root file system, or files that are not in the store. */
export type Ref =
  /** `layers` may be known without being there; `BaseLayers.ensure` fetches what is missing. */
  { readonly kind: 'snapshot'; readonly layers: Snapshot } | ContextFiles

import type { Layers } from '../store/layers.ts'
import { storeError } from '../store/store-error.ts'
import type { LayerId, LayerInfo } from '../store/types.ts'

/** What the store has recorded of a layer; nothing of one that it does not know. */
export function recordedFacts(id: LayerId, layers: Pick<Layers, 'recall'>): LayerInfo {
  try {
    return layers.recall(id) ?? {}
  } catch (error) {
    throw storeError(error, 'read what is known of a layer')
  }
}

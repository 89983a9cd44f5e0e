import type { LayerId, LayerInfo } from '../store/types.ts'
import type { LayerSource, PackedLayer } from './types.ts'

/** A layer and who has it; without a source the store has its blob. */
export interface Offer {
  readonly layer: PackedLayer
  readonly source: LayerSource | undefined
}

export type SourcedOffer = Offer & { readonly source: LayerSource }

/** What sources offer one operation. Data only: nothing is fetched or looked for. */
export class Offers {
  readonly #byLayer = new Map<LayerId, readonly SourcedOffer[]>()
  readonly #bySource = new Map<LayerSource, Map<LayerId, PackedLayer>>()
  readonly #ids: Set<LayerId>

  /** `ids`: kept to be those of all layers that are offered. */
  constructor(ids: Set<LayerId>) {
    this.#ids = ids
  }

  add(layers: readonly PackedLayer[], source: LayerSource): void {
    const own = this.#bySource.get(source) ?? new Map<LayerId, PackedLayer>()
    this.#bySource.set(source, own)
    for (const layer of layers) {
      if (own.has(layer.id)) continue
      own.set(layer.id, layer)
      const others = this.#byLayer.get(layer.id) ?? []
      // Of images the last, whose pull is shown as that of the vertex that needs it.
      this.#byLayer.set(layer.id, source.trust === 'vouched' ? [{ layer, source }, ...others] : [...others, { layer, source }])
      this.#ids.add(layer.id)
    }
  }

  of(id: LayerId): SourcedOffer | undefined {
    return this.#byLayer.get(id)?.[0]
  }

  /** All layers of a source, as they were offered. */
  from(source: LayerSource): readonly PackedLayer[] {
    return [...(this.#bySource.get(source)?.values() ?? [])]
  }

  withdraw(source: LayerSource): void {
    for (const id of this.#bySource.get(source)?.keys() ?? []) {
      const others = (this.#byLayer.get(id) ?? []).filter((offer) => offer.source !== source)
      if (others.length > 0) this.#byLayer.set(id, others)
      else {
        this.#byLayer.delete(id)
        this.#ids.delete(id)
      }
    }
    this.#bySource.delete(source)
  }
}

/** What an offer says of a layer, as the store records it. */
export function offeredFacts({ diffId, descriptor, parent, created }: PackedLayer): LayerInfo {
  return { diffId, blobs: [descriptor], parent, ...(created === undefined ? {} : { created }) }
}

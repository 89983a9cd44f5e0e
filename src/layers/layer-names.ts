import type { Digest } from '../base/digest.ts'
import { SharedWork } from '../base/shared-work.ts'
import type { LayerId, Snapshot } from '../store/types.ts'
import { type LayerName, layerName } from '../values/layer-name.ts'
import type { LayerCatalog } from './types.ts'

/** What the layers of this machine are called on every machine, and which of them has such a name. */
export class LayerNames {
  readonly #catalog: Pick<LayerCatalog, 'facts' | 'open'>
  readonly #names = new SharedWork<LayerId, LayerName>()

  constructor(catalog: Pick<LayerCatalog, 'facts' | 'open'>) {
    this.#catalog = catalog
  }

  /** Layers that nobody has asked for their diffID yet are measured, which reads their files. */
  async of(snapshot: Snapshot): Promise<LayerName[]> {
    const names: LayerName[] = []
    for (const id of snapshot) names.push(await this.#names.of(id, () => this.#measure(id)))
    return names
  }

  /** The first of `among` with the name; one whose diffID nobody knows is not measured for that. */
  async find(name: LayerName, among: Iterable<LayerId>): Promise<LayerId | undefined> {
    for (const id of among) {
      const { diffId } = await this.#catalog.facts(id)
      if (diffId === name.diffId && (await this.of([id]))[0]?.digest === name.digest) return id
    }
    return undefined
  }

  async #measure(id: LayerId): Promise<LayerName> {
    const { diffId, parent = [] } = await this.#catalog.facts(id)
    return layerName(diffId ?? (await this.#diffIdOf(id)), await this.of(parent))
  }

  async #diffIdOf(id: LayerId): Promise<Digest> {
    const [layer] = await this.#catalog.open([id])
    if (layer === undefined) throw new Error('a layer is opened as one')
    return layer.diffId
  }
}

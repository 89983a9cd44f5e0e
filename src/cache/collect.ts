import { type Digest, hexOf, sha256 } from '../base/digest.ts'
import type { Descriptor } from '../base/oci.ts'
import { type LayerSources, layerInfo, storeLayers } from '../image/target.ts'
import type { LayerBlob } from '../image/types.ts'
import type { CacheRecord, LayerId } from '../store/types.ts'
import type { AskedContent } from './contents.ts'
import type { CacheDocument, DocumentLayer, DocumentRecord } from './document.ts'

/** The records of one build: `own` of its targets' own steps, `others` of what they were made of besides. */
export interface BuildRecords {
  readonly own: readonly CacheRecord[]
  readonly others: readonly CacheRecord[]
}

export interface Collected {
  readonly document: CacheDocument
  readonly blobs: readonly LayerBlob[]
}

/** How much goes into a cache. All records always do: they are small, and the key of a step needs those of what it copies. */
export interface Extent {
  /** `min`: layers of own records only; `none`: an image has them (inline). */
  readonly files: 'none' | 'min' | 'max'
  readonly parts: boolean
}

/** A document over the build's records, and the blobs of its layers, made where they are not there yet. */
export async function collectCache(
  records: BuildRecords,
  contents: readonly AskedContent[],
  extent: Extent,
  sources: LayerSources,
): Promise<Collected> {
  const table = new LayerTable(sources)
  const carried = extent.files === 'max' ? [...records.own, ...records.others] : records.own
  for (const { layers } of carried) for (const id of layers) await table.add(id, extent.files === 'none' ? 'described' : 'packed')
  const all = new Map([...records.others, ...records.own].map((record) => [record.key, record]))
  const written: DocumentRecord[] = []
  for (const record of all.values()) written.push(await table.record(record, extent.parts))
  const known = []
  for (const { layers, selector, digest } of contents) known.push({ layers: await table.addAll(layers), selector, digest })
  return { document: { version: 1, layers: table.layers, records: written, contents: known }, blobs: [...table.blobs.values()] }
}

class LayerTable {
  readonly layers: DocumentLayer[] = []
  readonly blobs = new Map<Digest, LayerBlob>()
  readonly #positions = new Map<LayerId, number>()
  readonly #sources: LayerSources
  readonly #values: ReturnType<typeof storeLayers>

  constructor(sources: LayerSources) {
    this.#sources = sources
    this.#values = storeLayers(sources)
  }

  async record({ key, parts, step, name, place, created, layers }: CacheRecord, withParts: boolean): Promise<DocumentRecord> {
    return {
      key,
      ...(withParts && parts.length > 0 ? { parts } : {}),
      step,
      ...(name === undefined ? {} : { name }),
      ...(place === undefined ? {} : { place }),
      created,
      layers: await this.addAll(layers),
    }
  }

  async addAll(ids: readonly LayerId[]): Promise<number[]> {
    const found: number[] = []
    for (const id of ids) found.push(await this.add(id, 'named'))
    return found
  }

  /** Those that were added before keep what is known of them. */
  async add(id: LayerId, how: 'packed' | 'described' | 'named'): Promise<number> {
    const known = this.#positions.get(id)
    if (known !== undefined) return known
    const layer = (await this.#base(id)) ?? (how !== 'named' && (await this.#isHere(id)) ? await this.#own(id, how) : await this.#named(id))
    const position = this.layers.push(layer) - 1
    this.#positions.set(id, position)
    return position
  }

  /** A layer of an image: whoever imports the cache has the same image, since its digest is in the keys. */
  async #base(id: LayerId): Promise<DocumentLayer | undefined> {
    const base = this.#sources.baseLayers.describe(id)
    if (base === undefined) return undefined
    return { diffId: base.diffId, parent: await this.addAll(base.parent) }
  }

  async #isHere(id: LayerId): Promise<boolean> {
    const { snapshots, baseLayers, blobs } = this.#sources
    if ((await snapshots.has(id)) || baseLayers.canFetch(id)) return true
    const stored = await Promise.all(((await snapshots.info(id))?.blobs ?? []).map(({ digest }) => blobs.stat(digest)))
    return stored.some((found) => found !== undefined)
  }

  async #own(id: LayerId, how: 'packed' | 'described'): Promise<DocumentLayer> {
    const { created, parent = [] } = await layerInfo(id, this.#sources)
    const below: number[] = []
    for (const other of parent) below.push(await this.add(other, how))
    const layer = await this.#values.open(id, how === 'packed' ? { form: {} } : {})
    const entry = { diffId: layer.diffId, parent: below, ...(created === undefined ? {} : { created }) }
    if (how === 'described') return entry
    const blob = await layer.blob({ lazy: true })
    this.blobs.set(blob.descriptor.digest, blob)
    return { ...entry, blob: blob.descriptor.digest }
  }

  /** Only so that its record can be found. */
  async #named(id: LayerId): Promise<DocumentLayer> {
    return { name: hexOf(sha256(`layer ${id}`)), parent: [] }
  }
}

/** For the manifest. */
export function layerDescriptors(blobs: readonly LayerBlob[]): Descriptor[] {
  return blobs.map(({ descriptor: { mediaType, digest, size } }) => ({ mediaType, digest, size }))
}

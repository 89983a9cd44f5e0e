import type { Digest } from '../../base/digest.ts'
import { goJson, omitEmpty } from './op-json.ts'

/** A record that is being made. Links are to records, so that equal ones become one. */
export interface WrittenRecord {
  readonly digest: Digest
  readonly inputs: readonly (readonly WrittenLink[])[]
  results: WrittenResult[]
}

export interface WrittenLink {
  readonly record: WrittenRecord
  readonly selector: Digest | undefined
}

interface WrittenResult {
  /** Bottom first. */
  readonly chain: readonly WrittenLayer[]
  readonly createdAt: string
}

export interface WrittenLayer {
  readonly blob: Digest
  /** RFC 3339. */
  readonly created?: string | undefined
}

/** Records and layers in the form and order in which BuildKit writes them (cache/remotecache/v1/utils.go), so that the same cache has the same digest. */
export class ConfigWriter {
  readonly #records = new Map<string, WrittenRecord>()
  readonly #ids = new Map<WrittenRecord, string>()

  /** Equal records are one. */
  add(digest: Digest, inputs: readonly (readonly WrittenLink[])[] = []): WrittenRecord {
    const id = JSON.stringify([
      digest,
      inputs.map((links) => links.map(({ record, selector }) => [this.#ids.get(record), selector]).sort()),
    ])
    const known = this.#records.get(id)
    if (known !== undefined) return known
    const record: WrittenRecord = { digest, inputs, results: [] }
    this.#records.set(id, record)
    this.#ids.set(record, `${this.#ids.size}`)
    return record
  }

  /** The text of a cache config, and the blobs of its layers in its order. */
  config(): { readonly json: string; readonly blobs: readonly Digest[] } {
    const layers = new LayerTable()
    const records = this.#sorted()
    for (const { results } of records) for (const { chain } of results) layers.add(chain)
    const { list, positionOf } = layers.sorted()
    const json = goJson({ layers: writeLayers(list), records: write(records, positionOf) })
    return { json, blobs: list.map(({ blob }) => blob) }
  }

  /** The text of the records of an inline cache; results count from the bottom of the image, and those with other layers are left out. */
  inline(image: readonly Digest[]): string {
    const isOfImage = (chain: Chain) => chain.length <= image.length && chain.every(({ blob }, index) => blob === image[index])
    return goJson(write(this.#sorted(), (chain) => (isOfImage(chain) && chain.length > 0 ? chain.length - 1 : undefined)))
  }

  #sorted(): WrittenRecord[] {
    const shape = ({ digest, inputs }: WrittenRecord) =>
      JSON.stringify([digest, inputs.length, inputs.map((links) => links.map(({ record, selector }) => [selector ?? '', record.digest]))])
    const keyed = [...this.#records.values()].map((record) => ({ record, key: shape(record) }))
    return keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)).map(({ record }) => record)
  }
}

type Chain = readonly WrittenLayer[]
type PositionOf = (chain: Chain) => number | undefined

/** A blob is annotated with one time. Where it is the layer of several steps, each says its own, in the place that the format has for it. */
function writeLayers(layers: readonly TableLayer[]) {
  const times = new Map<Digest, Set<string | undefined>>()
  for (const { blob, created } of layers) times.set(blob, (times.get(blob) ?? new Set()).add(created))
  return layers.map(({ blob, parent, created }) => {
    const annotations = created !== undefined && (times.get(blob)?.size ?? 0) > 1 ? { createdAt: created } : undefined
    return omitEmpty({ blob, parent, annotations })
  })
}

function write(records: readonly WrittenRecord[], positionOf: PositionOf) {
  const positions = new Map(records.map((record, position) => [record, position]))
  return records.map(({ digest, inputs, results }) => {
    const layers = results.flatMap(({ chain, createdAt }) => {
      const layer = positionOf(chain)
      return layer === undefined ? [] : [{ layer, createdAt }]
    })
    const links = inputs.map((input) =>
      input
        .map(({ record, selector }) => ({ selector, link: positions.get(record) as number }))
        .sort((a, b) => a.link - b.link)
        .map(({ selector, link }) => ({ ...omitEmpty({ selector }), link })),
    )
    return omitEmpty({ layers, digest, inputs: links })
  })
}

interface TableLayer extends WrittenLayer {
  readonly parent: number
}

class LayerTable {
  readonly #layers: TableLayer[] = []
  readonly #known = new Map<string, number>()

  add(chain: Chain): void {
    let parent = -1
    for (const [index, layer] of chain.entries()) {
      const key = keyOf(chain.slice(0, index + 1))
      parent = this.#known.get(key) ?? this.#layers.push({ ...layer, parent }) - 1
      this.#known.set(key, parent)
    }
  }

  sorted(): { readonly list: readonly TableLayer[]; readonly positionOf: PositionOf } {
    const order = this.#layers.map((layer, before) => ({ layer, before }))
    order.sort((a, b) => (a.layer.blob < b.layer.blob ? -1 : a.layer.blob > b.layer.blob ? 1 : a.layer.parent - b.layer.parent))
    const moved = new Map(order.map(({ before }, now) => [before, now]))
    const list = order.map(({ layer }) => ({ ...layer, parent: layer.parent === -1 ? -1 : (moved.get(layer.parent) as number) }))
    return { list, positionOf: (chain) => moved.get(this.#known.get(keyOf(chain)) ?? -1) }
  }
}

function keyOf(chain: Chain): string {
  return chain.map(({ blob }) => blob).join(' ')
}

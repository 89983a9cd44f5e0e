import type { Digest } from '../base/digest.ts'
import { newStack } from '../base/long-chains.ts'
import { SharedWork } from '../base/shared-work.ts'
import type { Vertex } from '../graph/op.ts'
import { ofEach } from '../layers/packing.ts'
import { areDirectories } from '../layers/states.ts'
import type { BlobForm, LayerBlob, LayerCatalog } from '../layers/types.ts'
import type { LayerId, Snapshot } from '../store/types.ts'
import type { Descriptor } from '../values/oci.ts'
import { ConfigWriter, type WrittenLayer, type WrittenLink, type WrittenRecord } from './buildkit/config-writer.ts'
import type { Base, Node } from './buildkit/node.ts'
import type { NodeGraph } from './buildkit/nodes.ts'
import { recordDigest } from './buildkit/op-json.ts'
import type { ContentOf } from './buildkit/record-graph.ts'
import { CREATED, DIFF_ID } from './chain-layers.ts'
import type { StepContents } from './step-contents.ts'

/** What a build made, for its caches. */
export interface BuiltSteps {
  readonly targets: readonly Vertex[]
  /** The root file system of a step, as far as it is known. */
  result(vertex: Vertex): Promise<Snapshot | undefined>
  /** Names of the contexts whose files are others now than the steps were made of. */
  changedContexts(): Promise<ReadonlySet<string>>
}

export interface ExportDeps {
  readonly nodes: NodeGraph
  readonly contents: Pick<StepContents, 'reader'>
  readonly layers: Pick<LayerCatalog, 'open' | 'where'>
}

/** A layer as a cache has it. */
export interface ExportedLayer {
  readonly blob: LayerBlob
  /** With what BuildKit wants to know of a layer. */
  readonly descriptor: Descriptor
}

export interface Exported {
  readonly writer: ConfigWriter
  readonly layers: ReadonlyMap<Digest, ExportedLayer>
}

/** Whose layers go along (all records always do), in which form, and what a result names them by. */
export interface Extent {
  readonly mode: 'min' | 'max'
  readonly form: BlobForm
  /** An inline cache needs no blobs: its layers are the image's, by diffID. */
  readonly by: 'blob' | 'diffId'
}

/** Sources are asked what they are now, and had from where they are: their records have no layers. */
const FETCHED: ReadonlySet<string> = new Set(['image', 'http', 'git'])

/**
 * The records of a build as BuildKit would have made them (solver/exporter.go), and the blobs of their layers. Files of the caller are hashed only now: where
 * they have changed since they were copied, nothing is said of what was made of them.
 */
export async function exportSteps(built: BuiltSteps, extent: Extent, deps: ExportDeps): Promise<Exported> {
  const exported = await exportOf(built, extent, deps)
  const changed = await built.changedContexts()
  return changed.size === 0 ? exported : exportOf(built, extent, deps, changed)
}

async function exportOf(built: BuiltSteps, extent: Extent, deps: ExportDeps, changed?: ReadonlySet<string>): Promise<Exported> {
  const walk = new Export(built, extent, deps, changed)
  for (const target of built.targets) await walk.add(target)
  return { writer: walk.writer, layers: walk.layers }
}

class Export {
  readonly writer = new ConfigWriter()
  readonly layers = new Map<Digest, ExportedLayer>()
  readonly #built: BuiltSteps
  readonly #extent: Extent
  readonly #deps: ExportDeps
  readonly #contentOf: ContentOf
  readonly #seen = new Set<Vertex>()
  /** Steps that have their layers. */
  readonly #done = new Set<Vertex>()
  readonly #records = new SharedWork<string, readonly WrittenRecord[]>()
  readonly #known = new SharedWork<LayerId, WrittenLayer | undefined>()

  constructor(built: BuiltSteps, extent: Extent, deps: ExportDeps, changed?: ReadonlySet<string>) {
    this.#built = built
    this.#extent = extent
    this.#deps = deps
    // Nothing is fetched to be hashed: the record of what made the files is a link, too.
    const contentOf = deps.contents.reader(async (vertex) => {
      const layers = await built.result(vertex)
      return layers !== undefined && areDirectories(await deps.layers.where(layers)) ? layers : undefined
    })
    const isChanged = ({ op }: Vertex) => op.kind === 'context' && changed?.has(op.name) === true
    this.#contentOf = async (request) => (isChanged(request.source) ? undefined : contentOf(request))
  }

  /** A target's own steps, then all that they take from others. */
  async add(target: Vertex): Promise<void> {
    for (let step: Vertex | undefined = target; step !== undefined; step = step.root) await this.#step(step, true)
    await this.#others(target)
  }

  async #others(vertex: Vertex): Promise<void> {
    if (this.#seen.has(vertex)) return
    this.#seen.add(vertex)
    await this.#step(vertex, this.#extent.mode === 'max')
    for (const below of [vertex.root, ...vertex.inputs]) if (below !== undefined) await this.#others(below)
  }

  async #step(vertex: Vertex, withLayers: boolean): Promise<void> {
    if (this.#done.has(vertex)) return
    const { whole, layer } = await this.#deps.nodes.of(vertex)
    const records = await this.#recordsOf(whole)
    if (!withLayers || records.length === 0 || FETCHED.has(vertex.op.kind)) return
    this.#done.add(vertex)
    const chain = await this.#chain((await this.#built.result(vertex)) ?? [])
    const top = chain?.at(-1)
    if (chain === undefined || top === undefined) return
    const createdAt = top.created ?? new Date(0).toISOString()
    for (const record of records) addResult(record, chain, createdAt)
    if (layer !== undefined) for (const record of await this.#recordsOf(layer)) addResult(record, chain.slice(-1), createdAt)
  }

  #recordsOf(node: Base): Promise<readonly WrittenRecord[]> {
    return node === null ? Promise.resolve([]) : this.#records.of(node.id, () => this.#write(node))
  }

  /** None for what nobody could find again: an input without record and content. */
  async #write(node: Node): Promise<readonly WrittenRecord[]> {
    await newStack()
    const inputs: WrittenLink[][] = []
    for (const { node: below, selector, content } of node.inputs) {
      const links: WrittenLink[] = (await this.#recordsOf(below)).map((record) => ({ record, selector }))
      const digest = content === undefined ? undefined : await this.#contentOf(content)
      if (digest !== undefined) links.push({ record: this.writer.add(recordDigest(digest, -1)), selector: undefined })
      if (links.length === 0) return []
      inputs.push(links)
    }
    return node.records.map((digest) => this.writer.add(digest, inputs))
  }

  /** What a result names its layers by, bottom first; undefined when one of them cannot be had. */
  async #chain(snapshot: Snapshot): Promise<WrittenLayer[] | undefined> {
    const chain = await ofEach(snapshot, (id) => this.#known.of(id, () => this.#open(id)))
    return chain.every((layer) => layer !== undefined) ? chain : undefined
  }

  async #open(id: LayerId): Promise<WrittenLayer | undefined> {
    const { form, by } = this.#extent
    const { layers } = this.#deps
    if ((await layers.where([id])).get(id) === 'missing') return undefined
    const [layer] = await layers.open([id], by === 'blob' ? form : undefined)
    if (layer === undefined) return undefined
    const { created } = layer
    if (by === 'diffId') return { blob: layer.diffId, created }
    const blob = await layer.blob({ ...form, lazy: true })
    const { mediaType, digest, size } = blob.descriptor
    const annotations = { ...(created === undefined ? {} : { [CREATED]: created }), [DIFF_ID]: layer.diffId }
    this.layers.set(digest, { blob, descriptor: { mediaType, digest, size, annotations } })
    return { blob: digest, created }
  }
}

function addResult(record: WrittenRecord, chain: readonly WrittenLayer[], createdAt: string): void {
  if (record.results.length === 0) record.results.push({ chain, createdAt })
}

import { errorCode } from '../base/errors.ts'
import type { Progress } from '../base/events.ts'
import { runVertex } from '../base/run-vertex.ts'
import { SharedWork } from '../base/shared-work.ts'
import { areDirectories } from '../layers/states.ts'
import type { LayerSource, PackedLayer } from '../layers/types.ts'
import type { Ref } from '../ops/ref.ts'
import type { FoundStep, ImportedSteps, WantedStep } from '../ops/step-cache.ts'
import type { Snapshot } from '../store/types.ts'
import type { CacheBackend } from './backends.ts'
import type { ConfigRecord, ConfigResult } from './buildkit/cache-config.ts'
import type { Base, Node } from './buildkit/node.ts'
import type { NodeGraph } from './buildkit/nodes.ts'
import { type ContentOf, type FoundNodes, RecordGraph } from './buildkit/record-graph.ts'
import { cacheSource, type Foundation, foundationOf, layersOfSteps, type OfferedLayer, ownLayers, spread } from './chain-layers.ts'
import { type LoadedCache, loadCaches } from './load.ts'
import type { CacheSession } from './session.ts'
import type { StepContents } from './step-contents.ts'

export interface ImportDeps extends Progress {
  readonly session: Pick<CacheSession, 'images' | 'layers'>
  readonly nodes: NodeGraph
  readonly contents: Pick<StepContents, 'reader'>
}

interface ImportedCache extends LoadedCache {
  readonly source: LayerSource
  readonly graph: RecordGraph
  /** What is found without files of steps. */
  readonly known: FoundNodes
}

/** One look for a step. */
interface Look {
  readonly contentOf: ContentOf
  /** What is found with these contents. */
  known(cache: ImportedCache): FoundNodes
}

/** The caches of `--cache-from` in their order. What is wrong with one is a warning, and it is not asked any more. */
export class Imports implements ImportedSteps {
  /** Names of the backends where something was wrong. */
  readonly damaged: Set<string>
  readonly #deps: ImportDeps
  #caches: readonly ImportedCache[]

  private constructor(deps: ImportDeps, caches: readonly ImportedCache[], damaged: Set<string>) {
    this.damaged = damaged
    this.#deps = deps
    this.#caches = caches
  }

  static async load(backends: readonly CacheBackend[], deps: ImportDeps): Promise<Imports> {
    const damaged = new Set<string>()
    const loaded = await Promise.all(backends.map((backend, index) => load(backend, `import-${index + 1}`, deps, damaged)))
    return new Imports(deps, loaded.flat(), damaged)
  }

  /** The newest result of the first cache that has one for the step. */
  async lookup({ vertex, made }: WantedStep): Promise<FoundStep | undefined> {
    if (this.#caches.length === 0) return undefined
    const { session, nodes, contents } = this.#deps
    const foundation = foundationOf(vertex, (digest) => session.images.describe(digest))
    if (foundation === undefined) return undefined
    const { whole, layer } = await nodes.of(vertex)
    const contentOf = contents.reader(async (other) => layersOf(made?.(other)))
    // Files of steps that were made by now count as well: what was not found before may be.
    const found = new Map<ImportedCache, FoundNodes>(made === undefined ? [] : this.#caches.map((cache) => [cache, new SharedWork()]))
    const look: Look = { contentOf, known: (cache) => found.get(cache) ?? cache.known }
    for (const cache of this.#caches) {
      const own = layer === undefined ? undefined : await this.#resultOf(layer, { base: NOTHING, steps: [vertex] }, cache, look)
      const layers = own ?? (await this.#resultOf(whole, foundation, cache, look))
      if (layers !== undefined) return this.#found(layer === undefined ? layers : layers.slice(-1), cache)
    }
    return undefined
  }

  /** It is not asked any more, nor are its layers offered. */
  withdraw(source: LayerSource, problem: string): void {
    const { layers } = this.#deps.session
    const { name } = source
    const known = this.#caches.filter((cache) => cache.source.name === name)
    layers.withdraw(source)
    if (known.length === 0) return
    this.damaged.add(name)
    warn(this.#deps, `the cache ${name} is not used any more: ${problem}`)
    for (const cache of known) layers.withdraw(cache.source)
    this.#caches = this.#caches.filter((cache) => !known.includes(cache))
  }

  async #found(layers: Snapshot, { source }: ImportedCache): Promise<FoundStep> {
    return { layers, pending: !areDirectories(await this.#deps.session.layers.where(layers)), source }
  }

  async #resultOf(node: Base, foundation: Foundation, cache: ImportedCache, look: Look): Promise<Snapshot | undefined> {
    if (node === null) return undefined
    const records = await recordsOf(node, cache, look)
    const results = records.flatMap((record) => record.results)
    for (const result of results.sort((a, b) => Date.parse(b.createdAt) - Date.parse(a.createdAt))) {
      const layers = await this.#layersOf(result, foundation, cache, look)
      // Nothing is offered of a cache that was withdrawn meanwhile.
      if (layers === undefined || !this.#caches.includes(cache)) continue
      this.#deps.session.layers.offer(layers, cache.source)
      return [...foundation.base.layers, ...layers.map(({ id }) => id)]
    }
    return undefined
  }

  /** Undefined when the layers are not what this step could have made on its base. */
  async #layersOf({ chain }: ConfigResult, foundation: Foundation, cache: ImportedCache, look: Look): Promise<PackedLayer[] | undefined> {
    const offered = chain.map((position) => cache.layers[position] as OfferedLayer)
    const own = ownLayers(offered, foundation.base)
    if (own === undefined || own.length > foundation.steps.length) return this.#misfit(cache)
    const isWhole = own.length === foundation.steps.length
    const all = isWhole ? own : spread(own, await this.#lengths(chain, chain.length - own.length, foundation, cache, look))
    return all && layersOfSteps(all, foundation)
  }

  #misfit({ source: { name } }: ImportedCache): undefined {
    if (!this.damaged.has(name))
      warn(this.#deps, `the cache ${name} has layers for a step that are not on the step's base: they are not used`)
    this.damaged.add(name)
  }

  /** How many layers of the chain there were after each step: of those below, what their own results say. */
  async #lengths(chain: readonly number[], base: number, { steps }: Foundation, cache: ImportedCache, look: Look): Promise<number[]> {
    const lengths: number[] = []
    for (const step of steps.slice(0, -1)) {
      const { whole } = await this.#deps.nodes.of(step)
      const records = whole === null ? [] : await recordsOf(whole, cache, look)
      const below = records
        .flatMap((record) => record.results)
        .find((result) => result.chain.every((position, at) => position === chain[at]))
      lengths.push(below === undefined ? -1 : below.chain.length - base)
    }
    return [...lengths, chain.length - base]
  }
}

const NOTHING: Foundation['base'] = { diffIds: [], layers: [] }

function recordsOf(node: Node, cache: ImportedCache, { contentOf, known }: Look): Promise<ConfigRecord[]> {
  return cache.graph.find(node, contentOf, known(cache))
}

function layersOf(ref: Ref | undefined): Snapshot | undefined {
  return ref?.kind === 'snapshot' ? ref.layers : undefined
}

function load(backend: CacheBackend, id: string, deps: ImportDeps, damaged: Set<string>): Promise<ImportedCache[]> {
  const { onEvent, signal } = deps
  const { name } = backend
  const source = cacheSource(backend)
  return runVertex(id, `importing cache manifest from ${name}`, deps, async () => {
    try {
      const { caches, notices } = await loadCaches(backend, signal)
      for (const notice of notices) onEvent({ type: 'notice', message: `${name}: ${notice}` })
      return caches.map((cache) => ({ ...cache, source, graph: new RecordGraph(cache), known: new SharedWork() }))
    } catch (error) {
      signal.throwIfAborted()
      if (errorCode(error) === 'IMAGE_NOT_FOUND') onEvent({ type: 'notice', message: `there is no cache ${name} yet` })
      else {
        damaged.add(name)
        warn(deps, `the cache ${name} is not used: ${(error as Error).message}`)
      }
      return []
    }
  })
}

function warn({ onEvent }: Progress, message: string): void {
  onEvent({ type: 'warning', rule: 'CacheImport', message })
}

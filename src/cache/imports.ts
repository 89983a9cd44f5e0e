import type { Digest } from '../base/digest.ts'
import { errorCode } from '../base/errors.ts'
import type { OnEvent } from '../base/events.ts'
import type { BaseLayers } from '../image/base-layers.ts'
import type { CachedLayer, CacheSource } from '../image/cached-layers.ts'
import type { Store } from '../store/store.ts'
import type { CacheRecord, LayerId, Snapshot } from '../store/types.ts'
import { contentKey } from './contents.ts'
import { type DocumentRecord, layerIds } from './document.ts'
import { type LoadedCache, loadCaches } from './load.ts'
import type { Place } from './places.ts'

export interface ImportTools {
  readonly store: Store
  readonly baseLayers: BaseLayers
  readonly onEvent: OnEvent
  readonly signal: AbortSignal
}

interface ImportedRecord {
  readonly record: DocumentRecord
  readonly layers: Snapshot
}

/** One cache that was read: what it knows, in terms of this store. */
interface ImportedCache {
  readonly source: CacheSource
  readonly layers: readonly CachedLayer[]
  readonly records: ReadonlyMap<Digest, ImportedRecord>
  readonly contents: ReadonlyMap<string, Digest>
}

/** The caches of `--cache-from` in their order. What is wrong with one is a warning, and it is not asked any more. */
export class Imports {
  /** Names of the places where something was wrong. */
  readonly damaged: Set<string>
  readonly #tools: ImportTools
  #caches: readonly ImportedCache[]
  readonly #used = new Map<Digest, CacheRecord>()
  /** Records whose layers nobody has are no hits, since one of those layers was needed. */
  #whole = false

  private constructor(tools: ImportTools, caches: readonly ImportedCache[], damaged: Set<string>) {
    this.damaged = damaged
    this.#tools = tools
    this.#caches = caches
    this.#register()
  }

  static async load(places: readonly Place[], tools: ImportTools): Promise<Imports> {
    const damaged = new Set<string>()
    const loaded = await Promise.all(places.map((place, index) => load(place, `import-${index + 1}`, tools, damaged)))
    return new Imports(tools, loaded.flat(), damaged)
  }

  /** The record of the first cache that has one, with layers that are there or can be fetched; or, for its key alone, with layers that only have names. */
  async find(key: Digest): Promise<CacheRecord | undefined> {
    const { store, baseLayers } = this.#tools
    for (const { records } of this.#caches) {
      const found = records.get(key)
      if (found === undefined) continue
      // Also claims those that are there.
      const all = await store.layers.claim(found.layers, 'usable')
      const isUsable = (id: LayerId) => all || baseLayers.canFetch(id) || store.layers.isUsable(id)
      const whole = found.layers.every(isUsable)
      if (!whole && this.#whole) continue
      if (!whole) baseLayers.cached.name(found.layers)
      const record = toRecord(found)
      this.#used.set(key, record)
      return record
    }
    return undefined
  }

  content(key: string): Digest | undefined {
    for (const { contents } of this.#caches) {
      const digest = contents.get(key)
      if (digest !== undefined) return digest
    }
    return undefined
  }

  /** Records whose layers the build has brought into the store are the store's own from now on: later builds need no cache for them. */
  async keep(): Promise<void> {
    const { store, baseLayers } = this.#tools
    const isKept = async (id: LayerId) => {
      if (baseLayers.describe(id) !== undefined || store.layers.isPresent(id)) return true
      for (const { digest } of store.layers.info(id)?.blobs ?? []) if ((await store.blobs.stat(digest)) !== undefined) return true
      return false
    }
    for (const record of this.#used.values()) {
      const kept = await Promise.all(record.layers.map(isKept))
      if (record.parts.length > 0 && !kept.includes(false)) await store.cache.save(record)
    }
  }

  /** After a layer of a cache could not be had: true when the build is to be tried again without it. */
  recover(error: unknown): boolean {
    if (errorCode(error) !== 'CACHE_LAYER_UNUSABLE') return false
    const { cached } = this.#tools.baseLayers
    const failure = cached.takeFailure()
    if (failure === undefined) return false
    const { source, problem } = failure
    if (source === undefined) {
      if (this.#whole) return false
      this.#whole = true
    } else {
      this.damaged.add(source.name)
      warn(this.#tools, `the cache ${source.name} is not used any more: ${problem}`)
      this.#caches = this.#caches.filter((cache) => cache.source !== source)
    }
    cached.clear()
    this.#register()
    return true
  }

  #register(): void {
    for (const { layers } of this.#caches) for (const layer of layers) this.#tools.baseLayers.cached.register(layer)
  }
}

async function load(place: Place, id: string, tools: ImportTools, damaged: Set<string>): Promise<ImportedCache[]> {
  const { onEvent, signal } = tools
  onEvent({ type: 'vertex', id, name: `importing cache manifest from ${place.name}` })
  onEvent({ type: 'started', id, time: Date.now() })
  const { name, origin } = place
  const source: CacheSource = {
    name,
    ...(origin === undefined ? {} : { origin }),
    fetch: ({ digest }, stop) => place.blob(digest, stop ?? signal),
  }
  try {
    const { caches, notices } = await loadCaches(place, signal)
    for (const notice of notices) onEvent({ type: 'notice', message: `${place.name}: ${notice}` })
    return caches.map((cache) => importCache(cache, source))
  } catch (error) {
    signal.throwIfAborted()
    if (errorCode(error) === 'IMAGE_NOT_FOUND') onEvent({ type: 'notice', message: `there is no cache ${place.name} yet` })
    else {
      damaged.add(place.name)
      warn(tools, `the cache ${place.name} is not used: ${(error as Error).message}`)
    }
    return []
  } finally {
    onEvent({ type: 'done', id, time: Date.now(), cached: false })
  }
}

function importCache({ document, blobs }: LoadedCache, source: CacheSource): ImportedCache {
  const ids = layerIds(document)
  const idsOf = (positions: readonly number[]) => positions.map((position) => ids[position] as LayerId)
  const layers = document.layers.flatMap(({ diffId, blob, parent, created }, index): CachedLayer[] => {
    const descriptor = blob === undefined ? undefined : blobs.get(blob)
    if (diffId === undefined || descriptor === undefined) return []
    const id = ids[index] as LayerId
    const { mediaType, digest, size } = descriptor
    const known = { id, diffId, descriptor: { mediaType, digest, size }, parent: idsOf(parent), source }
    return [created === undefined ? known : { ...known, created }]
  })
  return {
    source,
    layers,
    records: new Map(document.records.map((record) => [record.key, { record, layers: idsOf(record.layers) }])),
    contents: new Map(document.contents.map(({ layers: of, selector, digest }) => [contentKey(idsOf(of), selector), digest])),
  }
}

function toRecord({ record, layers }: ImportedRecord): CacheRecord {
  const { key, parts = [], step, name, place, created } = record
  return {
    version: 1,
    ...{ key, parts, step },
    ...(name === undefined ? {} : { name }),
    ...(place === undefined ? {} : { place }),
    ...{ layers, created },
    lastUsed: new Date().toISOString(),
  }
}

function warn({ onEvent }: ImportTools, message: string): void {
  onEvent({ type: 'warning', rule: 'CacheImport', message })
}

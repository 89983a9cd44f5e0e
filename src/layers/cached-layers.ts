import { errorCode, TbuildError } from '../base/errors.ts'
import { Shared } from '../base/shared.ts'
import type { Bytes, LayerId, LayerInfo, Snapshot } from '../store/types.ts'
import type { Descriptor } from '../values/oci.ts'
import { checkBlob, checkPackedSize, type PackedLayer } from './unpack-blob.ts'
import { type LayerStore, unpackLayers } from './unpack-layers.ts'

/** A layer of a cache that was imported. What its blob holds is only claimed, until it is compared with diffId. */
export interface CachedLayer extends PackedLayer {
  readonly source: CacheSource
}

export interface CacheSource {
  /** For messages. */
  readonly name: string
  /** The reference of a cache in a registry, which can mount its blobs in other repositories. */
  readonly origin?: string
  /** The bytes as they are sent; the caller verifies. */
  fetch(blob: Descriptor, signal?: AbortSignal): Promise<Bytes>
}

/** A layer without a source is known by its blob in the store. */
type FetchableLayer = PackedLayer & { readonly source?: CacheSource }

/** Why a layer that a record names cannot be had. */
export interface CacheFailure {
  readonly source: CacheSource
  readonly problem: string
}

/**
 * Layers that are neither of an image of this build nor directories yet: those of imported caches, and those whose blob is in the store. The store knows nothing
 * of a cache's layer before its diffID was compared. One that nothing reads is not fetched and so not compared: the config of an image that is pushed, with
 * its blobs where they are, has the diffIDs that the cache claims. A layer that cannot be had rejects with CACHE_LAYER_UNUSABLE, and `takeFailure` says whose
 * it is, so that the build can go on without it.
 */
export class CachedLayers {
  readonly #known = new Map<LayerId, CachedLayer>()
  readonly #fetches = new Shared<LayerId, void>()
  readonly #checks = new Shared<LayerId, void>()
  readonly #store: LayerStore
  #failure: CacheFailure | undefined

  constructor(store: LayerStore) {
    this.#store = store
  }

  /** The first that offers a layer is asked for it. */
  register(layer: CachedLayer): void {
    if (!this.#known.has(layer.id)) this.#known.set(layer.id, layer)
  }

  clear(): void {
    for (const map of [this.#known, this.#fetches, this.#checks]) map.clear()
  }

  canFetch(id: LayerId): boolean {
    return this.#known.has(id)
  }

  origin(id: LayerId): string | undefined {
    return this.#known.get(id)?.source.origin
  }

  takeFailure(): CacheFailure | undefined {
    const failure = this.#failure
    this.#failure = undefined
    return failure
  }

  /** What the cache claims of a layer, for where the store knows nothing better. */
  info(id: LayerId): LayerInfo | undefined {
    const layer = this.#known.get(id)
    if (layer === undefined) return undefined
    const { diffId, descriptor, parent, created } = layer
    return { diffId, blobs: [descriptor], parent, ...(created === undefined ? {} : { created }) }
  }

  /** The snapshot with all that its missing layers were made over, bottom first. */
  async closure(snapshot: Snapshot): Promise<LayerId[]> {
    const found = new Set<LayerId>()
    const visit = async (id: LayerId) => {
      if (found.has(id)) return
      if (!(await this.#store.snapshots.has(id))) for (const below of (await this.#layer(id))?.parent ?? []) await visit(below)
      found.add(id)
    }
    for (const id of snapshot) await visit(id)
    return [...found]
  }

  /** Makes the directories be there of all of them that can be had here. `ids`: a closure. */
  async ensure(ids: readonly LayerId[], signal?: AbortSignal): Promise<void> {
    const missing: FetchableLayer[] = []
    for (const id of ids) {
      if (await this.#store.snapshots.has(id)) continue
      const layer = await this.#layer(id)
      if (layer !== undefined) missing.push(layer)
    }
    await unpackLayers(missing, this.#store, {
      fetch: (layer) => this.#fetch(layer, signal),
      guard: (layer, unpack) => this.#guard(layer, signal, unpack),
      signal,
    })
  }

  /** Brings the blob of a layer into the blob store, compared with its diffID; false when the cache has no such blob. */
  async fetchBlob(id: LayerId, blob: Descriptor, signal?: AbortSignal): Promise<boolean> {
    const layer = this.#known.get(id)
    if (layer === undefined || layer.descriptor.digest !== blob.digest) return false
    await this.#checks.of(id, () => this.#fetchChecked(layer, signal), signal)
    return true
  }

  /** Brings the blob of a layer of a cache into the blob store, compared with its diffID. */
  async keep(id: LayerId, signal: AbortSignal): Promise<void> {
    const layer = this.#known.get(id)
    if (layer !== undefined) await this.fetchBlob(id, layer.descriptor, signal)
  }

  /** The store has the layer's blob, and knows how to unpack it. */
  async isStored(id: LayerId): Promise<boolean> {
    return (await this.#stored(id)) !== undefined
  }

  async #fetchChecked(layer: CachedLayer, signal?: AbortSignal): Promise<void> {
    await this.#fetch(layer, signal)
    await this.#guard(layer, signal, () => checkBlob(layer, this.#store))
    await this.#store.snapshots.update(layer.id, this.info(layer.id) ?? {})
  }

  #fetch(layer: FetchableLayer, signal?: AbortSignal): Promise<void> {
    const fetch = async () => {
      const { digest, size } = layer.descriptor
      const { source } = layer
      if ((await this.#store.blobs.stat(digest)) !== undefined || source === undefined) return
      checkPackedSize(layer.descriptor, this.#store.maxBytes)
      await this.#store.blobs.put(await source.fetch(layer.descriptor, signal), { digest, size })
    }
    return this.#fetches.of(layer.id, () => this.#guard(layer, signal, fetch), signal)
  }

  async #layer(id: LayerId): Promise<FetchableLayer | undefined> {
    return this.#known.get(id) ?? (await this.#stored(id))
  }

  /** A layer that the store has as a blob. */
  async #stored(id: LayerId): Promise<FetchableLayer | undefined> {
    const { diffId, blobs = [], parent, created } = (await this.#store.snapshots.info(id)) ?? {}
    if (diffId === undefined || parent === undefined) return undefined
    for (const descriptor of blobs) {
      if ((await this.#store.blobs.stat(descriptor.digest)) === undefined) continue
      return { id, diffId, descriptor, parent, ...(created === undefined ? {} : { created }) }
    }
    return undefined
  }

  /** What goes wrong with a layer of a cache is the cache's fault, unless the store cannot keep it or the build was ended. */
  async #guard<T>(layer: FetchableLayer, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (layer.source === undefined || signal?.aborted || errorCode(error)?.startsWith('STORE_')) throw error
      throw this.#unusable({ source: layer.source, problem: (error as Error).message }, error)
    }
  }

  #unusable(failure: CacheFailure, cause?: unknown): TbuildError {
    this.#failure ??= failure
    return new TbuildError('CACHE_LAYER_UNUSABLE', `a layer of the cache ${failure.source.name} cannot be used: ${failure.problem}`, {
      hint: 'build without this --cache-from',
      cause,
    })
  }
}

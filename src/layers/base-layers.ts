import { counted } from '../base/counted.ts'
import { chainDigests, type Digest, hexOf } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import { Shared } from '../base/shared.ts'
import { sideBySide } from '../base/side-by-side.ts'
import type { RemoteImage } from '../sources/image/types.ts'
import type { LayerId, LayerInfo, Snapshot } from '../store/types.ts'
import type { Descriptor } from '../values/oci.ts'
import { CachedLayers } from './cached-layers.ts'
import { checkPackedSize, type PackedLayer } from './unpack-blob.ts'
import { type LayerStore, PARALLEL_FETCHES, unpackLayers } from './unpack-layers.ts'

/** Told when the layers of an image are needed: all there, or being fetched. */
export interface PullListener {
  present(): void
  started(): void
  /** A promise is waited for. */
  progress(layer: Descriptor, current: number, done: boolean): unknown
  done(): void
  /** After `started`: a layer could not be had. */
  failed(error: unknown): void
}

/** An image of this build. */
interface KnownImage {
  readonly image: RemoteImage
  readonly layers: readonly PackedLayer[]
  readonly listener: PullListener | undefined
}

/**
 * The layers of base images: known as soon as the manifest is (so that cache keys and records can name them), fetched and unpacked only when a
 * step really needs the files. A layer's id is the hex of its chainID, so layers that are there are never fetched again.
 */
export class BaseLayers {
  /** Layers of imported caches: another kind of known layer. One that an image has is the image's. */
  readonly cached: CachedLayers
  readonly #known = new Map<LayerId, { owner: KnownImage; layer: PackedLayer }>()
  readonly #pulls = new Shared<KnownImage, void>()
  readonly #store: LayerStore

  constructor(store: LayerStore) {
    this.#store = store
    this.cached = new CachedLayers(store)
  }

  /** What a layer may unpack to. */
  get maxBytes(): number {
    return this.#store.maxBytes
  }

  /** The image's root file system. */
  register(image: RemoteImage, listener?: PullListener): Snapshot {
    // An image of the store has its layers under ids of their own.
    if (image.layerIds !== undefined) return image.layerIds
    const diffIds = image.configFile.rootfs.diff_ids
    const layers = chainIds(diffIds).map((id, index, ids) => ({
      id,
      diffId: diffIds[index] as Digest,
      descriptor: image.layers[index] as Descriptor,
      parent: ids.slice(0, index),
    }))
    const owner: KnownImage = { image, layers, listener }
    for (const layer of layers) this.#known.set(layer.id, { owner, layer })
    return layers.map((layer) => layer.id)
  }

  /** True when a layer that is not there could be fetched. */
  canFetch(id: LayerId): boolean {
    return this.#known.has(id) || this.cached.canFetch(id)
  }

  /** The original blob and diffID of a layer of a registered image, and what it stands on. */
  describe(id: LayerId): PackedLayer | undefined {
    return this.#known.get(id)?.layer
  }

  /** Name of the image, or the cache in a registry, that a known layer belongs to. */
  origin(id: LayerId): string | undefined {
    return this.#known.get(id)?.owner.image.name ?? this.cached.origin(id)
  }

  /** Makes the directories of all layers in the snapshot be there that can be fetched. */
  async ensure(snapshot: Snapshot, signal?: AbortSignal): Promise<void> {
    const all = await this.cached.closure(snapshot)
    const owners = new Set(all.flatMap((id) => this.#known.get(id)?.owner ?? []))
    for (const owner of owners) await this.#pulls.of(owner, () => this.#pull(owner, signal), signal)
    await this.cached.ensure(
      all.filter((id) => !this.#known.has(id)),
      signal,
    )
  }

  /** Layers that the store has neither as a directory nor as a blob: those of an image or a cache that nothing has needed yet. */
  async elsewhere(snapshot: Snapshot): Promise<LayerId[]> {
    const ids: LayerId[] = []
    for (const id of snapshot) if (!(await this.#store.snapshots.has(id)) && !(await this.cached.isStored(id))) ids.push(id)
    return ids
  }

  /** Makes the store have the blobs of layers, and know what they are: later builds can unpack them then without anybody else. */
  async fetchBlobs(ids: readonly LayerId[], signal: AbortSignal): Promise<void> {
    const stop = new AbortController()
    const either = AbortSignal.any([signal, stop.signal])
    const fetches = sideBySide(
      ids.map((id) => async () => {
        either.throwIfAborted()
        if (!this.#known.has(id)) return this.cached.keep(id, either)
        await this.fetchBlob(id, either)
        await this.#store.snapshots.update(id, this.info(id) ?? {})
      }),
      PARALLEL_FETCHES,
    )
    try {
      await Promise.all(fetches)
    } catch (error) {
      // Nothing goes on behind the back of who called.
      stop.abort(error)
      await Promise.allSettled(fetches)
      throw error
    }
  }

  /** What a registered image says of a layer. */
  info(id: LayerId): LayerInfo | undefined {
    const layer = this.describe(id)
    return layer && { diffId: layer.diffId, blobs: [layer.descriptor], parent: layer.parent }
  }

  /** Brings the original blob of a registered layer into the blob store. */
  async fetchBlob(id: LayerId, signal?: AbortSignal): Promise<Descriptor> {
    const known = this.#known.get(id)
    if (known === undefined) {
      throw new TbuildError('LAYER_MISSING', `layer ${id} is neither in the store nor part of an image of this build`, {
        hint: 'build again with --no-cache',
      })
    }
    const { owner, layer } = known
    const { descriptor } = layer
    if ((await this.#store.blobs.stat(descriptor.digest)) === undefined) {
      checkPackedSize(descriptor, this.#store.maxBytes)
      const bytes = counted(
        await owner.image.fetch(descriptor, signal),
        (current) => owner.listener?.progress(descriptor, current, false),
        signal,
      )
      await this.#store.blobs.put(bytes, { digest: descriptor.digest, size: descriptor.size })
    }
    owner.listener?.progress(descriptor, descriptor.size, true)
    return descriptor
  }

  async #pull(owner: KnownImage, signal?: AbortSignal): Promise<void> {
    const missing: PackedLayer[] = []
    for (const layer of owner.layers) if (!(await this.#store.snapshots.has(layer.id))) missing.push(layer)
    if (missing.length === 0) {
      owner.listener?.present()
      return
    }
    owner.listener?.started()
    try {
      await unpackLayers(missing, this.#store, { fetch: ({ id }) => this.fetchBlob(id, signal), signal })
    } catch (error) {
      owner.listener?.failed(error)
      throw error
    }
    owner.listener?.done()
  }
}

/** What the layers of an image are called in the store. */
export function chainIds(diffIds: readonly Digest[]): LayerId[] {
  return chainDigests(diffIds).map((chain) => hexOf(chain) as LayerId)
}

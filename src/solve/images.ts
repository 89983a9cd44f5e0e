import type { Digest } from '../base/digest.ts'
import { errorCode } from '../base/errors.ts'
import type { OnEvent } from '../base/events.ts'
import { runVertex } from '../base/run-vertex.ts'
import { TARGET_SCHEME } from '../context/named.ts'
import type { BaseImage, ResolveImage } from '../graph/lower-types.ts'
import { chainIds, imageLayers } from '../layers/image-layers.ts'
import type { LayerCatalog, PullListener } from '../layers/types.ts'
import type { ImageSource, RemoteImage } from '../sources/image/types.ts'
import type { Snapshot } from '../store/types.ts'
import type { Platform } from '../values/platform.ts'

export interface ImageSources {
  readonly registry: ImageSource
  readonly ociLayout: ImageSource
  /** Targets of other builds. */
  readonly targets: ImageSource
  /** Images that earlier builds tagged; asked first unless `--pull`. */
  readonly store: ImageSource | undefined
}

/** The images of one build: resolved while lowering, whose layers are then offered. */
export class Images {
  readonly #sources: ImageSources
  readonly #layers: Pick<LayerCatalog, 'offer'>
  readonly #onEvent: OnEvent
  readonly #signal: AbortSignal
  readonly #known = new Map<Digest, RemoteImage>()
  #lookups = 0

  constructor(sources: ImageSources, layers: Pick<LayerCatalog, 'offer'>, onEvent: OnEvent, signal: AbortSignal) {
    this.#sources = sources
    this.#layers = layers
    this.#onEvent = onEvent
    this.#signal = signal
  }

  readonly resolve: ResolveImage = async (reference, platform) => {
    const image = await this.#find(reference, platform)
    this.#known.set(image.manifestDigest, image)
    // At once, so that records of earlier builds on these layers are known to be usable.
    this.#offer(image, undefined)
    return baseImage(image)
  }

  /** The layers of an image that `resolve` found; their pull is told as the vertex's. */
  layers(digest: Digest, vertex: string): Snapshot {
    const image = this.#known.get(digest)
    if (image === undefined) throw new Error(`image ${digest} was not resolved`)
    return this.#offer(image, pullEvents(vertex, this.#onEvent, this.#signal))
  }

  /** What an image that `resolve` found is made of, and what its name resolved to (of an index, where it has one). */
  describe(digest: Digest): { readonly resolved: Digest; readonly diffIds: readonly Digest[]; readonly layers: Snapshot } {
    const image = this.#known.get(digest)
    if (image === undefined) throw new Error(`image ${digest} was not resolved`)
    const diffIds = image.configFile.rootfs.diff_ids
    return { resolved: image.resolvedDigest, diffIds, layers: image.layerIds ?? chainIds(diffIds) }
  }

  #offer(image: RemoteImage, pull: PullListener | undefined): Snapshot {
    // An image of the store has its layers under ids of their own.
    if (image.layerIds !== undefined) return image.layerIds
    const layers = imageLayers(image.configFile.rootfs.diff_ids, image.layers)
    const { name } = image
    this.#layers.offer(layers, { name, trust: 'vouched', origin: name, pull, blob: (blob, signal) => image.fetch(blob, signal) })
    return layers.map(({ id }) => id)
  }

  async #find(reference: string, platform: Platform): Promise<RemoteImage> {
    if (reference.startsWith('oci-layout://')) return this.#sources.ociLayout.resolve(reference, platform, this.#signal)
    if (reference.startsWith(TARGET_SCHEME)) return this.#sources.targets.resolve(reference, platform, this.#signal)
    const local = await this.#sources.store?.resolve(reference, platform, this.#signal).catch(notFound)
    if (local !== undefined) return local
    return this.#fromRegistry(reference, platform)
  }

  async #fromRegistry(reference: string, platform: Platform): Promise<RemoteImage> {
    this.#lookups += 1
    const progress = { onEvent: this.#onEvent, signal: this.#signal }
    return runVertex(`metadata-${this.#lookups}`, `[internal] load metadata for ${reference}`, progress, () =>
      this.#sources.registry.resolve(reference, platform, this.#signal),
    )
  }
}

function notFound(error: unknown): undefined {
  if (errorCode(error) === 'IMAGE_NOT_FOUND') return undefined
  throw error
}

function baseImage(image: RemoteImage): BaseImage {
  const { configFile, platform, manifestDigest } = image
  return { name: image.name, digest: manifestDigest, resolved: image.resolvedDigest, platform, configFile }
}

function pullEvents(id: string, onEvent: OnEvent, signal: AbortSignal): PullListener {
  const now = () => Date.now()
  return {
    present: () => onEvent({ type: 'done', id, time: now(), cached: true }),
    started: () => onEvent({ type: 'started', id, time: now() }),
    progress: ({ digest, size }, current, done) => onEvent({ type: 'progress', id, item: digest, current, total: size, done, time: now() }),
    done: () => onEvent({ type: 'done', id, time: now(), cached: false }),
    failed: (error) => onEvent({ type: 'failed', id, time: now(), canceled: signal.aborted, message: (error as Error).message }),
  }
}

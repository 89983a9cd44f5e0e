import { createHash } from 'node:crypto'
import { type Digest, finishSha256, hexOf, sha256 } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import type { Descriptor } from '../base/oci.ts'
import type { RemoteImage } from '../registry/types.ts'
import type { Snapshotter } from '../snapshot/types.ts'
import type { Locks } from '../store/locks.ts'
import { layerError } from '../store/store-error.ts'
import type { BlobStore, Bytes, LayerId, Snapshot } from '../store/types.ts'
import { decompressLayer } from '../tar/layer-bytes.ts'
import { readTar } from '../tar/read.ts'
import { unpackLayer } from '../tree/unpack.ts'
import { layeredView } from '../tree/view.ts'
import { layerWriter } from '../tree/writer.ts'

/** Layers of one image fetched at once. */
const PARALLEL_FETCHES = 3

/** Told when the layers of an image are needed: all there, or being fetched. */
export interface PullListener {
  present(): void
  started(): void
  progress(layer: Descriptor, current: number, done: boolean): void
  done(): void
}

/** An image of this build and the pull of its layers, which happens once. */
interface KnownImage {
  readonly image: RemoteImage
  readonly layers: readonly KnownLayer[]
  readonly listener: PullListener | undefined
  pull: Promise<void> | undefined
}

interface KnownLayer {
  readonly id: LayerId
  readonly diffId: Digest
  readonly descriptor: Descriptor
}

/**
 * The layers of base images: known as soon as the manifest is (so that cache keys and records can name them), fetched and unpacked only when a
 * step really needs the files. A layer's id is the hex of its chainID, so layers that are there are never fetched again.
 */
export class BaseLayers {
  readonly #known = new Map<LayerId, { owner: KnownImage; layer: KnownLayer }>()
  readonly #snapshots: Snapshotter
  readonly #blobs: BlobStore
  readonly #locks: Pick<Locks, 'singleFlight'>

  constructor(snapshots: Snapshotter, blobs: BlobStore, locks: Pick<Locks, 'singleFlight'>) {
    this.#snapshots = snapshots
    this.#blobs = blobs
    this.#locks = locks
  }

  /** The image's root file system. */
  register(image: RemoteImage, listener?: PullListener): Snapshot {
    // An image of the store has its layers under ids of their own.
    if (image.layerIds !== undefined) return image.layerIds
    const diffIds = image.configFile.rootfs.diff_ids
    const layers = chainIds(diffIds).map((id, index) => ({
      id,
      diffId: diffIds[index] as Digest,
      descriptor: image.layers[index] as Descriptor,
    }))
    const owner: KnownImage = { image, layers, listener, pull: undefined }
    for (const layer of layers) this.#known.set(layer.id, { owner, layer })
    return layers.map((layer) => layer.id)
  }

  /** True when a layer that is not there could be fetched. */
  canFetch(id: LayerId): boolean {
    return this.#known.has(id)
  }

  /** The original blob and diffID of a registered layer. */
  describe(id: LayerId): { readonly diffId: Digest; readonly descriptor: Descriptor } | undefined {
    return this.#known.get(id)?.layer
  }

  /** Name of the image that a registered layer belongs to. */
  origin(id: LayerId): string | undefined {
    return this.#known.get(id)?.owner.image.name
  }

  /** Makes the directories of all registered layers in the snapshot be there. */
  async ensure(snapshot: Snapshot, signal?: AbortSignal): Promise<void> {
    const owners = new Set(snapshot.flatMap((id) => this.#known.get(id)?.owner ?? []))
    for (const owner of owners) {
      owner.pull ??= this.#pull(owner, signal)
      await owner.pull
    }
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
    if ((await this.#blobs.stat(descriptor.digest)) === undefined) {
      const bytes = counted(await owner.image.fetch(descriptor, signal), (current) => owner.listener?.progress(descriptor, current, false))
      await this.#blobs.put(bytes, { digest: descriptor.digest, size: descriptor.size })
    }
    owner.listener?.progress(descriptor, descriptor.size, true)
    return descriptor
  }

  /** Fetches in parallel, unpacks from the bottom. */
  async #pull(owner: KnownImage, signal?: AbortSignal): Promise<void> {
    const missing: KnownLayer[] = []
    for (const layer of owner.layers) if (!(await this.#snapshots.has(layer.id))) missing.push(layer)
    if (missing.length === 0) {
      owner.listener?.present()
      return
    }
    owner.listener?.started()
    const fetches = limited(
      missing.map(
        ({ id }) =>
          () =>
            this.fetchBlob(id, signal),
      ),
      PARALLEL_FETCHES,
    )
    const order = owner.layers.map(({ id }) => id)
    for (const [index, layer] of missing.entries()) {
      await fetches[index]
      // Of all processes that want the layer one unpacks it.
      await this.#locks.singleFlight(
        `layer-${layer.id}`,
        async () => (await this.#snapshots.has(layer.id)) || undefined,
        async () => this.#unpack(layer, order.slice(0, order.indexOf(layer.id)), signal),
        { signal },
      )
    }
    owner.listener?.done()
  }

  async #unpack({ id, descriptor, diffId }: KnownLayer, parent: Snapshot, signal?: AbortSignal): Promise<true> {
    const active = await this.#snapshots.prepare(parent)
    try {
      const hash = createHash('sha256')
      const tar = hashed(decompressLayer(this.#blobs.get(descriptor.digest), descriptor.mediaType), hash)
      const writer = layerWriter(active.upper, layeredView(active.lower))
      // A device node that a user namespace forbids stays in the layer's blob, which is what is exported; a RUN has its own /dev.
      await unpackLayer(readTar(tar), writer, { signal, onSkipped: () => {} })
      const found = finishSha256(hash)
      if (found !== diffId) {
        throw new TbuildError('DIGEST_MISMATCH', `layer ${descriptor.digest} unpacks to ${found}, but the image's config says ${diffId}`, {
          hint: 'the image is broken or was tampered with',
        })
      }
      await this.#snapshots.commit(active, { id, info: { diffId, blobs: [descriptor], parent } })
      return true
    } catch (error) {
      await this.#snapshots.discard(active)
      throw layerError(error)
    }
  }
}

/** OCI image spec, config.md "Layer ChainID". */
export function chainIds(diffIds: readonly Digest[]): LayerId[] {
  let chain: Digest | undefined
  return diffIds.map((diffId) => {
    chain = chain === undefined ? diffId : sha256(`${chain} ${diffId}`)
    return hexOf(chain) as LayerId
  })
}

async function* hashed(bytes: Bytes, hash: { update(data: Uint8Array): unknown }): Bytes {
  for await (const chunk of bytes) {
    hash.update(chunk)
    yield chunk
  }
}

async function* counted(bytes: Bytes, tell: (total: number) => void): Bytes {
  let total = 0
  for await (const chunk of bytes) {
    total += chunk.length
    tell(total)
    yield chunk
  }
}

/** Starts `jobs` in order, at most `limit` at once; a failure of one shows at its own promise. */
function limited<T>(jobs: readonly (() => Promise<T>)[], limit: number): Promise<T>[] {
  const running: Promise<unknown>[] = []
  return jobs.map((job, index) => {
    const turn = index < limit ? Promise.resolve() : (running[index - limit] as Promise<unknown>)
    const result = turn.then(job)
    result.catch(() => {})
    running.push(result.catch(() => {}))
    return result
  })
}

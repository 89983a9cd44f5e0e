import { availableParallelism } from 'node:os'
import type { Digest } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import { Shared } from '../base/shared.ts'
import { allSideBySide } from '../base/side-by-side.ts'
import type { Snapshotter } from '../snapshot/types.ts'
import type { BlobStore, Bytes, LayerId, LayerInfo } from '../store/types.ts'
import { DEFAULT_LEVEL, gzip } from '../tar/gzip.ts'
import { decompressLayer, layerCompression } from '../tar/layer-bytes.ts'
import type { TarItem } from '../tar/types.ts'
import { writeTar } from '../tar/write.ts'
import { DEFAULT_ZSTD_LEVEL, zstd } from '../tar/zstd-compress.ts'
import { DEFAULT_LIMITS } from '../values/limits.ts'
import { type Descriptor, MediaType } from '../values/oci.ts'
import { Meter, type TarFacts } from './meter.ts'
import type { BlobForm, Layer, LayerBlob } from './types.ts'

type Packed = 'gzip' | 'zstd'

/** Mark, in `LayerInfo.blobs` only, a blob that was made here: everything without one is the original of a base layer. */
const LEVEL_ANNOTATION: Readonly<Record<Packed, string>> = { gzip: 'tbuild.gzip.level', zstd: 'tbuild.zstd.level' }

const MEDIA_TYPE: Readonly<Record<Packed, string>> = { gzip: MediaType.ociLayerGzip, zstd: MediaType.ociLayerZstd }

/** A blob that was made from the layer's directory, and not the one that the directory was made from. */
export function isOwnBlob(blob: Descriptor): boolean {
  return Object.values(LEVEL_ANNOTATION).some((mark) => blob.annotations?.[mark] !== undefined)
}

/** Layers that are packed at once: each keeps one thread busy at least, and some wait for a disk or a registry. */
const PARALLEL_LAYERS = Math.max(4, availableParallelism())

/** What `work` makes of each, side by side. */
export function ofEach<I, T>(items: readonly I[], work: (item: I) => Promise<T>): Promise<T[]> {
  return allSideBySide(
    items.map((item) => () => work(item)),
    PARALLEL_LAYERS,
  )
}

export interface LayerTools {
  readonly blobs: BlobStore
  readonly snapshots: Pick<Snapshotter, 'info' | 'update'>
  /** The layer's entries, from its directory (tree/diff.ts). Called anew for each pass. */
  changes(id: LayerId): AsyncIterable<TarItem>
  /** Brings the original blob of a layer into the blob store; false when it cannot be had, and the layer is packed again. */
  fetch?(id: LayerId, blob: Descriptor): Promise<boolean>
  /** The blob is only claimed to have the diffID: `fetch` compares them, also when the blob is there. */
  isClaimed?(id: LayerId): boolean
  /** What a layer may unpack to. */
  readonly maxBytes?: number
  /** Name of the image that a base layer came with. */
  origin?(id: LayerId): string | undefined
  /** Ends packing. */
  readonly signal?: AbortSignal
}

/**
 * Layer values over the store. What is learnt of a layer (diffID, size, blobs) is recorded once; callers at the same time share the work. One instance an
 * assembling, or an export of a cache, so that its promises do not outlive what they describe.
 */
export class StoreLayers {
  readonly #tools: LayerTools
  readonly #facts = new Shared<LayerId, TarFacts>()
  readonly #blobs = new Shared<string, Descriptor>()

  constructor(tools: LayerTools) {
    this.#tools = tools
  }

  /**
   * The layer as a value; its diffID is computed when nobody has yet. With `form`, a blob of that form will be wanted: diffID and blob are then made in one
   * pass over the directory.
   */
  async open(id: LayerId, options: { readonly form?: BlobForm } = {}): Promise<Layer> {
    const info = await this.#info(id)
    if (info.diffId === undefined && options.form !== undefined && options.form.compression !== 'uncompressed') {
      await this.#packedBlob(id, options.form)
    }
    const diffId = info.diffId ?? (await this.#tarFacts(id)).diffId
    return { id, diffId, tar: () => this.#tar(id, diffId), blob: (form = {}) => this.#blob(id, diffId, form) }
  }

  /** Each of them, in order. */
  openAll(ids: readonly LayerId[], options: { readonly form?: BlobForm } = {}): Promise<Layer[]> {
    return ofEach(ids, (id) => this.open(id, options))
  }

  async #info(id: LayerId): Promise<LayerInfo> {
    return (await this.#tools.snapshots.info(id)) ?? {}
  }

  async *#tar(id: LayerId, diffId: Digest, meter = new Meter()): Bytes {
    const blob = (await this.#info(id)).blobs?.[0]
    if (blob !== undefined && (await this.#fetched(id, blob))) {
      const { blobs, maxBytes = DEFAULT_LIMITS.unpack } = this.#tools
      yield* this.#metered(id, decompressLayer(blobs.get(blob.digest), blob.mediaType, { maxBytes }), meter, diffId)
    } else yield* this.#metered(id, writeTar(this.#tools.changes(id)), meter, diffId)
  }

  /** The tar of a layer whose diffID may not be known yet; `meter` knows it in the end. */
  #measured(id: LayerId, { diffId }: LayerInfo, meter: Meter): Bytes {
    return diffId === undefined ? this.#metered(id, writeTar(this.#tools.changes(id)), meter) : this.#tar(id, diffId, meter)
  }

  async *#metered(id: LayerId, bytes: Bytes, meter: Meter, diffId?: Digest): AsyncGenerator<Uint8Array> {
    yield* meter.pass(bytes, this.#tools.signal)
    const found = meter.finish().diffId
    if (diffId === undefined || found === diffId) return
    throw new TbuildError('LAYER_CHANGED', `layer ${id} is not what it was: its diffID is ${found} and should be ${diffId}`, {
      hint: 'its files in the store were altered; run `tbuild verify-store`, which forgets the layer, and build again',
    })
  }

  async #blob(id: LayerId, diffId: Digest, form: BlobForm): Promise<LayerBlob> {
    const original = (await this.#info(id)).blobs?.find((blob) => !isOwnBlob(blob))
    if (original !== undefined && suits(original, form)) {
      if (form.lazy === true && this.#tools.fetch !== undefined) return this.#original(id, original)
      if (await this.#fetched(id, original)) return this.#original(id, original)
    }
    if (form.compression !== 'uncompressed') return this.#stored(await this.#packedBlob(id, form))
    const { tarSize } = await this.#tarFacts(id)
    return { descriptor: { mediaType: MediaType.ociLayer, digest: diffId, size: tarSize }, open: () => this.#tar(id, diffId) }
  }

  #original(id: LayerId, blob: Descriptor): LayerBlob {
    const origin = this.#tools.origin?.(id)
    return { ...this.#stored(blob), open: () => this.#opened(id, blob), ...(origin === undefined ? {} : { origin }) }
  }

  async *#opened(id: LayerId, blob: Descriptor): Bytes {
    await this.#fetched(id, blob)
    yield* this.#tools.blobs.get(blob.digest)
  }

  #stored({ mediaType, digest, size }: Descriptor): LayerBlob {
    return { descriptor: { mediaType, digest, size }, open: () => this.#tools.blobs.get(digest) }
  }

  /** True when the blob is in the store, if need be after fetching it. */
  async #fetched(id: LayerId, blob: Descriptor): Promise<boolean> {
    const { blobs, fetch, isClaimed } = this.#tools
    const own = isOwnBlob(blob)
    if ((own || isClaimed?.(id) !== true) && (await blobs.stat(blob.digest)) !== undefined) return true
    return !own && fetch !== undefined && (await fetch(id, blob))
  }

  #tarFacts(id: LayerId): Promise<TarFacts> {
    return this.#facts.of(id, async () => {
      const info = await this.#info(id)
      if (info.diffId !== undefined && info.tarSize !== undefined) return { diffId: info.diffId, tarSize: info.tarSize }
      const meter = new Meter()
      for await (const _chunk of this.#measured(id, info, meter));
      return this.#record(id, meter.finish(), {})
    })
  }

  #packedBlob(id: LayerId, form: BlobForm): Promise<Descriptor> {
    const kind: Packed = form.compression === 'zstd' ? 'zstd' : 'gzip'
    const level = form.level ?? (kind === 'zstd' ? DEFAULT_ZSTD_LEVEL : DEFAULT_LEVEL)
    const mark = { [LEVEL_ANNOTATION[kind]]: String(level) }
    return this.#blobs.of(`${id} ${kind} ${level}`, async () => {
      const info = await this.#info(id)
      const known = info.blobs?.find((blob) => blob.annotations?.[LEVEL_ANNOTATION[kind]] === String(level))
      if (known !== undefined && (await this.#fetched(id, known))) return known
      const meter = new Meter()
      const tar = this.#measured(id, info, meter)
      const { digest, size } = await this.#tools.blobs.put(kind === 'zstd' ? zstd(tar, { level }) : gzip(tar, { level }))
      const blob: Descriptor = { mediaType: MEDIA_TYPE[kind], digest, size, annotations: mark }
      const others = (info.blobs ?? []).filter((other) => other.digest !== digest)
      await this.#record(id, meter.finish(), { blobs: [...others, blob] })
      return blob
    })
  }

  async #record(id: LayerId, facts: TarFacts, more: LayerInfo): Promise<TarFacts> {
    await this.#tools.snapshots.update(id, { ...facts, ...more })
    return facts
  }
}

/** Whether the original blob of a base layer may leave as it is. */
function suits(original: Descriptor, form: BlobForm): boolean {
  if (form.force !== true) return true
  const wanted = form.compression === 'uncompressed' ? 'none' : (form.compression ?? 'gzip')
  return layerCompression(original.mediaType) === wanted
}

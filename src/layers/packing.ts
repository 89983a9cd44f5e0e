import { availableParallelism } from 'node:os'
import type { Digest } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import { allInParallel } from '../base/in-parallel.ts'
import type { BlobStore, Bytes, LayerId, LayerInfo } from '../store/types.ts'
import { DEFAULT_GZIP_LEVEL, GZIP_FORMAT, gzip } from '../tar/gzip.ts'
import { DEFAULT_ZSTD_LEVEL, ZSTD_FORMAT, zstd } from '../tar/zstd-compress.ts'
import { type Descriptor, MediaType } from '../values/oci.ts'
import { Meter, type TarFacts } from './meter.ts'
import type { BlobForm, LayerBlob } from './types.ts'

/** How a layer's tar is compressed into a blob of this store. */
export interface Packing {
  readonly kind: 'gzip' | 'zstd'
  readonly level: number
  /** Equal for equal packings. */
  readonly name: string
  /** Of its blobs: another one is on blobs of the same level whose bytes are other ones, made by an older tbuild. */
  readonly mark: string
}

/** A layer's tar that passed once, and the blob that it became. */
export interface Packed {
  readonly facts: TarFacts
  /** With the mark of its packing. */
  readonly blob: Descriptor
}

/** Name of the mark, in `LayerInfo.blobs` only, of a blob that was made here: everything without one is the original of a base layer. */
const MARK: Readonly<Record<Packing['kind'], string>> = { gzip: 'tbuild.gzip.level', zstd: 'tbuild.zstd.level' }

const FORMAT: Readonly<Record<Packing['kind'], number>> = { gzip: GZIP_FORMAT, zstd: ZSTD_FORMAT }

const MEDIA_TYPE: Readonly<Record<Packing['kind'], string>> = { gzip: MediaType.ociLayerGzip, zstd: MediaType.ociLayerZstd }

/** A blob that was made from the layer's directory, and not the one that the directory was made from. */
export function isOwnBlob(blob: Descriptor): boolean {
  return Object.values(MARK).some((mark) => blob.annotations?.[mark] !== undefined)
}

/** What a blob may unpack to, in bytes: `limit`, which is for what others made, or as much as went into it here. */
export function unpackLimitOf(blob: Descriptor, { tarSize = 0 }: LayerInfo, limit: number): number {
  return isOwnBlob(blob) ? Math.max(limit, tarSize) : limit
}

/** Undefined: the tar as it is. */
export function packingOf({ compression = 'gzip', level }: BlobForm): Packing | undefined {
  if (compression === 'uncompressed') return undefined
  const own = level ?? (compression === 'zstd' ? DEFAULT_ZSTD_LEVEL : DEFAULT_GZIP_LEVEL)
  return {
    kind: compression,
    level: own,
    name: `${compression} ${own}`,
    mark: `${FORMAT[compression]}:${own}`,
  }
}

export function isPackedBy(blob: Descriptor, { kind, mark }: Packing): boolean {
  return blob.annotations?.[MARK[kind]] === mark
}

/** Made here in a way that no packing has any more: once the layer has another blob, nothing reads it. */
export function isOutdated({ annotations = {} }: Descriptor): boolean {
  return Object.entries(FORMAT).some(([kind, newest]) => {
    const mark = annotations[MARK[kind as Packing['kind']]]
    // The first formats had no number.
    const [, format = 0] = /^(?:(\d+):)?\d+$/.exec(mark ?? '') ?? [undefined, newest]
    return Number(format) < newest
  })
}

/** Diff ID and blob in one pass; `meter` is what the tar passes through. */
export async function pack(tar: Bytes, meter: Meter, { kind, level, mark }: Packing, blobs: BlobStore): Promise<Packed> {
  const { digest, size } = await blobs.put(kind === 'zstd' ? zstd(tar, { level }) : gzip(tar, { level }))
  const annotations = { [MARK[kind]]: mark }
  return { facts: await meter.finish(), blob: { mediaType: MEDIA_TYPE[kind], digest, size, annotations } }
}

/** What passes through a meter, refused in the end where it is not the tar that it should be. */
export async function* verified(id: LayerId, tar: Bytes, diffId: Digest, meter = new Meter(), signal?: AbortSignal): Bytes {
  yield* meter.pass(tar, signal)
  const found = (await meter.finish()).diffId
  if (found === diffId) return
  throw new TbuildError('LAYER_CHANGED', `layer ${id} is not what it was: its diffID is ${found} and should be ${diffId}`, {
    hint: 'its files in the store were altered; run `tbuild verify-store`, which forgets the layer, and build again',
  })
}

/** A blob of the store as it leaves: without marks. */
export function storedBlob({ mediaType, digest, size }: Descriptor, blobs: BlobStore): LayerBlob {
  return { descriptor: { mediaType, digest, size }, open: () => blobs.get(digest), lend: (take) => blobs.lend(digest, take) }
}

/** A tar that leaves as it is. */
export function tarBlob({ diffId, tarSize }: TarFacts, open: () => Bytes): LayerBlob {
  return { descriptor: { mediaType: MediaType.ociLayer, digest: diffId, size: tarSize }, open }
}

/** Layers that are packed at once: each keeps one thread busy at least, and some wait for a disk or a registry. */
const PARALLEL_LAYERS = Math.max(4, availableParallelism())

/** What `work` makes of each, side by side. */
export function ofEach<I, T>(items: readonly I[], work: (item: I) => Promise<T>): Promise<T[]> {
  return allInParallel(
    items.map((item) => () => work(item)),
    PARALLEL_LAYERS,
  )
}

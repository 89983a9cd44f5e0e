import type { Digest } from '../base/digest.ts'
import type { Bytes, LayerId, LayerInfo, LayerState, Snapshot, TakeFile } from '../store/types.ts'
import type { DeferredFiles } from '../tree/deferred-files.ts'
import type { Descriptor } from '../values/oci.ts'

/**
 * All that one operation (a build, an export, a prune) knows of layers: those of the store, and those that images and caches offer it. A layer is known as
 * soon as it is offered, so that cache keys and records can name it; it is fetched, compared and unpacked when somebody needs its files or its blob.
 */
export interface LayerCatalog {
  /** The layers of one source, bottom first. One that is vouched for goes before one that is only claimed, and the first that claims it before others. */
  offer(layers: readonly PackedLayer[], source: LayerSource): void
  /** Who is asked for a layer that is not in the store. */
  source(id: LayerId): LayerSource | undefined
  /** What is known of a layer: by the store, and where that knows too little by who offers it. Asking changes nothing. */
  facts(id: LayerId): Promise<LayerInfo>
  /** What is in the store stays there until the operation ends. */
  where(ids: readonly LayerId[]): Promise<ReadonlyMap<LayerId, LayerState>>
  /** Makes the files of a snapshot be there, with all layers of an image that it takes some from: the directories of its layers, bottom first. */
  directories(snapshot: Snapshot, signal: AbortSignal): Promise<string[]>
  /**
   * The layers as values. What nobody knew of them is made and recorded once; with `form`, a blob of that form will be wanted: diffID and blob are then made
   * in one pass over the directory.
   */
  open(ids: readonly LayerId[], form?: BlobForm): Promise<Layer[]>
  /**
   * Makes a layer that is in the store as a blob alone, in one pass; its directory is made when somebody needs it, and is then what it would have been. Undefined
   * where it would not be, where what is deferred cannot be read as it was, and for a form that is not kept.
   */
  add(layer: UnpackedLayer, form: BlobForm, signal: AbortSignal): Promise<LayerId | undefined>
  /** Makes the store have the blobs of offered layers, and know what they are: later builds can unpack them then without anybody else. */
  keep(ids: readonly LayerId[], signal: AbortSignal): Promise<void>
  /** Sources that gave a layer which cannot be used (CACHE_LAYER_UNUSABLE), each with what was wrong first, until they are withdrawn. */
  readonly failures: ReadonlyMap<LayerSource, string>
  /** Nothing of the source is offered any more. */
  withdraw(source: LayerSource): void
}

/** Where an operation can have layers from. */
export interface LayerSource {
  /** For messages. */
  readonly name: string
  /**
   * `vouched`: an image of this build, whose manifest and config were verified by digest. It is pulled whole.
   * `claimed`: a cache, which may say anything: what a blob holds is compared with its diffID before it counts, and what goes wrong is its fault. One that
   * nothing reads is neither fetched nor compared: the config of an image that is pushed, with its blobs where they are, has the diffIDs that are claimed.
   */
  readonly trust: 'vouched' | 'claimed'
  /** A reference in a registry, which can mount its blobs in other repositories. */
  readonly origin: string | undefined
  /** Hears of the pull of an image. */
  readonly pull: PullListener | undefined
  /** The bytes as they are sent; the caller verifies. */
  blob(descriptor: Descriptor, signal: AbortSignal): Promise<Bytes>
}

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

/** A layer as a blob. */
export interface PackedLayer {
  readonly id: LayerId
  readonly diffId: Digest
  readonly descriptor: Descriptor
  /** The layers that its tar is the difference to. */
  readonly parent: Snapshot
  /** ISO time. */
  readonly created?: string | undefined
  /** Of a layer of the store that never was a directory (LayerInfo). */
  readonly times?: Digest | undefined
}

/** A layer that is being made, a part of which is in no directory. */
export interface UnpackedLayer {
  /** Its directory, in overlayfs's format. */
  readonly upper: string
  /** Directories of the layers that it was made over, bottom first. */
  readonly lower: readonly string[]
  readonly deferred: DeferredFiles
  readonly parent: Snapshot
  /** ISO time. */
  readonly created: string
}

/** An immutable layer value; bytes are made or fetched when a sink opens it. */
export interface Layer {
  readonly id: LayerId
  readonly diffId: Digest
  /** ISO time, of the step that made it. */
  readonly created: string | undefined
  /** The uncompressed tar, verified against diffId. */
  tar(): Bytes
  /** The form for an OCI image: the original blob of a base layer unless `force` says otherwise, as in BuildKit; otherwise made once and kept. */
  blob(form?: BlobForm): Promise<LayerBlob>
}

/** Default: gzip at the default level. */
export interface BlobForm {
  readonly compression?: 'gzip' | 'uncompressed' | 'zstd'
  readonly level?: number
  /** The original blob of a base layer is taken only when it has this compression. */
  readonly force?: boolean
  /** The original blob of a base layer is fetched when it is opened: it may never be, as the registry that it goes to has it. */
  readonly lazy?: boolean
}

/** `descriptor` has an OCI media type, or Docker's when a base image came with it. */
export interface LayerBlob {
  readonly descriptor: Descriptor
  /** The image that it is the original blob of, such as docker.io/library/debian:bookworm: where a registry may find it, too. */
  readonly origin?: string
  /** Verified against the descriptor. */
  open(): Bytes
  /** The same as an open file, where it is one: see BlobStore. */
  lend?(take: TakeFile): Promise<void>
}

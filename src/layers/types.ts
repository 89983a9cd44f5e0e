import type { Digest } from '../base/digest.ts'
import type { Bytes, LayerId } from '../store/types.ts'
import type { Descriptor } from '../values/oci.ts'

/** An immutable layer value; bytes are made or fetched when a sink opens it. */
export interface Layer {
  readonly id: LayerId
  readonly diffId: Digest
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
}

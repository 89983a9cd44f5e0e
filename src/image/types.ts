import type { Digest } from '../base/digest.ts'
import type { Descriptor, ImageConfigFile } from '../base/oci.ts'
import type { Platform } from '../base/platform.ts'
import type { Bytes, LayerId } from '../store/types.ts'

/** An immutable layer value; bytes are made or fetched when a sink opens it. */
export interface Layer {
  readonly id: LayerId
  readonly diffId: Digest
  /** The uncompressed tar, verified against diffId. */
  tar(): Bytes
  /** The compressed form for an OCI image: the original blob of a base layer, gzip otherwise; made once and kept. */
  blob(): Promise<{ descriptor: Descriptor; open(): Bytes }>
}

/** An image as a value: exporters are functions over it. */
export interface Image {
  readonly platform: Platform
  /** The exact bytes of the config; `configDigest` is the image's id. */
  readonly config: Buffer
  readonly configDigest: Digest
  readonly configFile: ImageConfigFile
  readonly layers: readonly Layer[]
}

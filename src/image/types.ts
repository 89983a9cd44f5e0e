import type { Digest } from '../base/digest.ts'
import type { Layer } from '../layers/types.ts'
import type { ImageConfigFile } from '../values/oci.ts'
import type { Platform } from '../values/platform.ts'

/** An image as a value: exporters are functions over it. */
export interface Image {
  readonly platform: Platform
  /** The exact bytes of the config; `configDigest` is the image's id. */
  readonly config: Buffer
  readonly configDigest: Digest
  readonly configFile: ImageConfigFile
  readonly layers: readonly Layer[]
}

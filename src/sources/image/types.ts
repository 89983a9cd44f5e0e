import type { Digest } from '../../base/digest.ts'
import type { Bytes, LayerId } from '../../store/types.ts'
import type { Descriptor, ImageConfigFile } from '../../values/oci.ts'
import type { Platform } from '../../values/platform.ts'

/** An image whose manifest and config are known and whose layers can be fetched. */
export interface RemoteImage {
  /** Normalised: docker.io/library/debian:bookworm */
  readonly name: string
  /** Of the platform's manifest: the cache key of FROM (K15). */
  readonly manifestDigest: Digest
  /** Of the index, when the reference named one, otherwise the manifest's. */
  readonly resolvedDigest: Digest
  readonly platform: Platform
  readonly config: Buffer
  readonly configFile: ImageConfigFile
  /** Bottom first, as many as rootfs.diff_ids. */
  readonly layers: readonly Descriptor[]
  /** An image of the store: its layers are directories already, under these ids, and nothing is fetched. */
  readonly layerIds?: readonly LayerId[]
  /** The layer's blob as the registry sends it; the caller verifies digest and size. */
  fetch(layer: Descriptor, signal?: AbortSignal): Promise<Bytes>
}

/** What a pull asks a repository for. */
export interface PullRepository {
  /** For messages. */
  readonly name: string
  resolveTag(tag: string, signal?: AbortSignal): Promise<Digest | undefined>
  manifest(
    identifier: string,
    signal?: AbortSignal,
  ): Promise<{ readonly bytes: Buffer; readonly digest: Digest; readonly contentType: string | undefined }>
  blob(digest: Digest, signal?: AbortSignal): Promise<Bytes>
}

/** Where FROM and COPY --from images come from: a registry, an OCI layout, the store. */
export interface ImageSource {
  /** Throws IMAGE_NOT_FOUND, REGISTRY_UNREACHABLE, REGISTRY_DENIED, PLATFORM_NOT_FOUND … */
  resolve(reference: string, platform: Platform, signal?: AbortSignal): Promise<RemoteImage>
}

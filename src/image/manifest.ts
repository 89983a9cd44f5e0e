import { type Digest, sha256 } from '../base/digest.ts'
import { escapeLikeGo } from '../go/json.ts'
import { type Descriptor, type Index, layerTypeIn, type Manifest, MediaType } from '../values/oci.ts'
import type { Platform } from '../values/platform.ts'
import type { Image } from './types.ts'

/** A document of an image as its exact bytes. */
export interface Document {
  readonly bytes: Buffer
  readonly descriptor: Descriptor
}

export type ManifestFormat = 'oci' | 'docker'

/** Says to which epoch the times of a layer were clamped (L9). The only annotation of a layer that is written, and in OCI manifests only. */
export const REWRITTEN_ANNOTATION = 'buildkit/rewritten-timestamp'

/** The manifest of an image over its layer blobs; indented as BuildKit's, whose digest it then has. */
export function makeManifest(
  image: Image,
  layers: readonly Descriptor[],
  options: { readonly format?: ManifestFormat; readonly annotations?: Readonly<Record<string, string>> } = {},
): Document {
  const docker = options.format === 'docker'
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: docker ? MediaType.dockerManifest : MediaType.ociManifest,
    config: {
      mediaType: docker ? MediaType.dockerConfig : MediaType.ociConfig,
      digest: image.configDigest,
      size: image.config.length,
    },
    layers: layers.map(({ mediaType, digest, size, annotations }) => ({
      ...{ mediaType: layerTypeIn(docker ? 'docker' : 'oci', mediaType), digest, size },
      ...(docker ? {} : rewrittenMember(annotations)),
    })),
    ...annotationsMember(options.annotations),
  }
  return document(manifest, manifest.mediaType as string, image.platform)
}

function rewrittenMember(annotations: Descriptor['annotations'] = {}): Pick<Descriptor, 'annotations'> {
  const epoch = annotations[REWRITTEN_ANNOTATION]
  return epoch === undefined ? {} : { annotations: { [REWRITTEN_ANNOTATION]: epoch } }
}

/** An image index over manifests of several platforms. */
export function makeIndex(
  manifests: readonly Descriptor[],
  options: { readonly format?: ManifestFormat; readonly annotations?: Readonly<Record<string, string>> } = {},
): Document {
  const mediaType = options.format === 'docker' ? MediaType.dockerIndex : MediaType.ociIndex
  const index: Index = { schemaVersion: 2, mediaType, manifests, ...annotationsMember(options.annotations) }
  return document(index, mediaType)
}

function document(value: Manifest | Index, mediaType: string, platform?: Platform): Document {
  const bytes = Buffer.from(escapeLikeGo(JSON.stringify(value, null, 2)))
  const digest: Digest = sha256(bytes)
  return { bytes, descriptor: { mediaType, digest, size: bytes.length, ...(platform && { platform: descriptorPlatform(platform) }) } }
}

/** In the order of OCI's Go struct. */
function descriptorPlatform(platform: Platform): NonNullable<Descriptor['platform']> {
  return {
    architecture: platform.architecture,
    os: platform.os,
    ...(platform.osVersion === undefined ? {} : { 'os.version': platform.osVersion }),
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
  }
}

/** Annotations as a member of an OCI struct: sorted as a Go map, left out when empty. */
export function annotationsMember(annotations: Readonly<Record<string, string>> = {}): { annotations?: Record<string, string> } {
  const entries = Object.entries(annotations).sort(([a], [b]) => (a < b ? -1 : 1))
  return entries.length === 0 ? {} : { annotations: Object.fromEntries(entries) }
}

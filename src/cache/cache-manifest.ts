import { sha256 } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import type { CacheExportMode } from '../build-options.ts'
import { escapeLikeGo } from '../go/json.ts'
import type { LayerBlob } from '../layers/types.ts'
import { type Descriptor, layerTypeIn, MediaType } from '../values/oci.ts'
import { CACHE_CONFIG_LIMIT, CONFIG_MEDIA_TYPE } from './buildkit/cache-config.ts'
import type { Exported } from './exports.ts'

/** A cache as it is written: its manifest, and all blobs that the manifest names. */
export interface CacheManifest {
  readonly descriptor: Descriptor
  /** Exact. */
  readonly bytes: Buffer
  readonly blobs: readonly LayerBlob[]
}

/** As BuildKit writes it (cache/remotecache/export.go): an image manifest, or a list of layers with the config as its last entry. */
export function cacheManifest(
  { writer, layers }: Exported,
  { imageManifest = true, ociMediaTypes = true }: CacheExportMode,
): CacheManifest {
  const { json, blobs } = writer.config()
  const config = bytesBlob(Buffer.from(json), CONFIG_MEDIA_TYPE)
  if (config.descriptor.size > CACHE_CONFIG_LIMIT) {
    throw new TbuildError(
      'CACHE_TOO_LARGE',
      `the cache has ${config.descriptor.size} bytes of records, and ${CACHE_CONFIG_LIMIT} can be read again`,
    )
  }
  const exported = [...new Set(blobs)].flatMap((digest) => layers.get(digest) ?? [])
  const descriptors = exported.map(({ descriptor }) => ({
    ...descriptor,
    mediaType: layerTypeIn(ociMediaTypes ? 'oci' : 'docker', descriptor.mediaType),
  }))
  const listType = ociMediaTypes ? MediaType.ociIndex : MediaType.dockerIndex
  const mediaType = imageManifest && ociMediaTypes ? MediaType.ociManifest : listType
  const document =
    mediaType === MediaType.ociManifest
      ? { schemaVersion: 2, mediaType, config: config.descriptor, layers: descriptors }
      : { schemaVersion: 2, mediaType, manifests: [...descriptors, config.descriptor] }
  const bytes = Buffer.from(escapeLikeGo(JSON.stringify(document)))
  return {
    descriptor: { mediaType, digest: sha256(bytes), size: bytes.length },
    bytes,
    blobs: [...exported.map(({ blob }) => withoutImage(blob)), config],
  }
}

/** A layer is pushed by its blob alone, but may be mounted from where it is. */
function withoutImage({ descriptor: { mediaType, digest, size }, origin, open }: LayerBlob): LayerBlob {
  return { descriptor: { mediaType, digest, size }, open, ...(origin === undefined ? {} : { origin }) }
}

function bytesBlob(bytes: Buffer, mediaType: string): LayerBlob {
  return {
    descriptor: { mediaType, digest: sha256(bytes), size: bytes.length },
    async *open() {
      yield bytes
    },
  }
}

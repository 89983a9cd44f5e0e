import { TbuildError } from '../base/errors.ts'
import { MediaType } from '../base/oci.ts'
import type { Bytes } from '../store/types.ts'
import { type DecompressLimits, decompress } from './decompress.ts'
import type { Compression } from './types.ts'

/** A closed list: a media type that is not here is refused, never guessed. Foreign (nondistributable) layers are not fetched. */
const LAYER_COMPRESSION: ReadonlyMap<string, Compression> = new Map([
  [MediaType.ociLayer, 'none'],
  [MediaType.ociLayerGzip, 'gzip'],
  [MediaType.ociLayerZstd, 'zstd'],
  [MediaType.dockerLayer, 'none'],
  [MediaType.dockerLayerGzip, 'gzip'],
  // containerd and zstd:chunked write this one for docker manifests.
  ['application/vnd.docker.image.rootfs.diff.tar.zstd', 'zstd'],
])

export function layerCompression(mediaType: string): Compression {
  const compression = LAYER_COMPRESSION.get(mediaType)
  if (compression !== undefined) return compression
  throw new TbuildError('MEDIA_TYPE_UNSUPPORTED', `unsupported layer media type ${JSON.stringify(mediaType)}`, {
    hint: `supported are ${[...LAYER_COMPRESSION.keys()].join(', ')}`,
  })
}

/** The uncompressed tar of a layer blob. */
export function decompressLayer(blob: Bytes, mediaType: string, limits: DecompressLimits = {}): AsyncIterable<Uint8Array> {
  return decompress(blob, layerCompression(mediaType), limits)
}

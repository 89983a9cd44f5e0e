import { TbuildError } from '../base/errors.ts'
import type { Bytes } from '../store/types.ts'
import { LAYER_TYPES, type LayerCompression } from '../values/oci.ts'
import { type DecompressLimits, decompress } from './decompress.ts'

export function layerCompression(mediaType: string): LayerCompression {
  const compression = LAYER_TYPES.get(mediaType)
  if (compression !== undefined) return compression
  throw new TbuildError('MEDIA_TYPE_UNSUPPORTED', `unsupported layer media type ${JSON.stringify(mediaType)}`, {
    hint: `supported are ${[...LAYER_TYPES.keys()].join(', ')}`,
  })
}

/** The uncompressed tar of a layer blob. */
export function decompressLayer(blob: Bytes, mediaType: string, limits: DecompressLimits = {}): AsyncIterable<Uint8Array> {
  return decompress(blob, layerCompression(mediaType), limits)
}

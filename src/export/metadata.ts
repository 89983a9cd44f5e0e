import type { Image } from '../image/types.ts'
import type { Exported } from './content.ts'

/** `--metadata-file`, with buildx's names. */
export function buildMetadata(images: readonly Image[], names: readonly string[], exported: Exported | undefined): Record<string, unknown> {
  const [first] = images
  return {
    ...(first === undefined ? {} : { 'containerimage.config.digest': first.configDigest }),
    ...(exported === undefined
      ? {}
      : { 'containerimage.digest': exported.descriptor.digest, 'containerimage.descriptor': exported.descriptor }),
    ...(names.length === 0 ? {} : { 'image.name': names.join(',') }),
  }
}

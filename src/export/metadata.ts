import type { Digest } from '../base/digest.ts'
import type { Image } from '../image/types.ts'
import type { Written } from './outputs.ts'

/** `--metadata-file`, with buildx's names, sorted as it sorts them. Several platforms have no config digest of their own. */
export function buildMetadata(images: readonly Image[], names: readonly string[], written: Written | undefined): Record<string, unknown> {
  const [first, second] = images
  const named = written?.names ?? names
  return {
    ...(first === undefined || second !== undefined ? {} : { 'containerimage.config.digest': written?.configDigest ?? first.configDigest }),
    ...(written === undefined
      ? {}
      : { 'containerimage.descriptor': written.descriptor, 'containerimage.digest': written.descriptor.digest }),
    ...(named.length === 0 ? {} : { 'image.name': named.join(',') }),
  }
}

/** `--iidfile`: the config's digest of one platform; of several the index's, or where no output made one all their configs', a line each. */
export function imageId(images: readonly Image[], written: Written | undefined): string {
  if (written !== undefined) return images.length === 1 ? written.configDigest : written.descriptor.digest
  return images.map((image): Digest => image.configDigest).join('\n')
}

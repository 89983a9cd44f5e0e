import type { Digest } from '../base/digest.ts'
import type { Image } from '../image/types.ts'
import { MediaType } from '../values/oci.ts'
import type { Written } from './outputs.ts'

/** `--metadata-file`, with buildx's names, sorted as it sorts them. Several platforms have no config digest of their own. */
export function buildMetadata(images: readonly Image[], names: readonly string[], written: Written | undefined): Record<string, unknown> {
  const [first, second] = images
  const named = written?.names ?? names
  // Of an image that is in a store only, buildx too gives the id of the image as its digest.
  const digest = written?.descriptor.digest ?? (second === undefined ? first?.configDigest : undefined)
  return {
    ...(first === undefined || second !== undefined || (written && isIndex(written))
      ? {}
      : { 'containerimage.config.digest': written?.configDigest ?? first.configDigest }),
    ...(written === undefined ? {} : { 'containerimage.descriptor': written.descriptor }),
    ...(digest === undefined ? {} : { 'containerimage.digest': digest }),
    ...(named.length === 0 ? {} : { 'image.name': named.join(',') }),
  }
}

/** `--iidfile`: the config's digest of one platform; of several the index's, or where no output made one all their configs', a line each. */
export function imageId(images: readonly Image[], written: Written | undefined): string {
  if (written !== undefined) return isIndex(written) ? written.descriptor.digest : written.configDigest
  return images.map((image): Digest => image.configDigest).join('\n')
}

function isIndex({ descriptor }: Written): boolean {
  return descriptor.mediaType === MediaType.ociIndex || descriptor.mediaType === MediaType.dockerIndex
}

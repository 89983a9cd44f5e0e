import { TbuildError } from '../base/errors.ts'
import { formatImageReference, type ImageReference, REFERENCE_HINT, readImageReference } from '../base/image-reference.ts'
import type { Image } from '../image/types.ts'
import type { Store } from '../store/store.ts'
import type { LayerInfo } from '../store/types.ts'

/** `-t` values as full references; a digest is no name to give. */
export function parseTags(tags: readonly string[]): string[] {
  return tags.map((tag) => {
    const reference = parseTag(tag)
    if (reference.digest !== undefined) throw invalidTag(tag, 'a digest cannot be given as a name')
    return formatImageReference(reference)
  })
}

function parseTag(tag: string): ImageReference {
  const read = readImageReference(tag)
  if (typeof read === 'string') throw invalidTag(tag, read, REFERENCE_HINT)
  return read
}

function invalidTag(tag: string, problem: string, hint?: string): TbuildError {
  return new TbuildError('TAG_INVALID', `invalid tag ${JSON.stringify(tag)}: ${problem}`, { exitCode: 2, ...(hint && { hint }) })
}

/** Puts the images into the store, under their names; a name stands for the first platform's image. */
export async function tagImages(store: Store, images: readonly Image[], names: readonly string[]): Promise<void> {
  for (const image of images) await store.blobs.put(image.config, { digest: image.configDigest, size: image.config.length })
  const [image] = images
  if (image === undefined) return
  const { os, architecture, variant } = image.platform
  for (const name of names) {
    await store.images.set({
      name,
      config: image.configDigest,
      layers: image.layers.map(({ id, diffId }) => ({ id, diffId })),
      platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
      size: image.layers.reduce((total, { id }) => total + layerSize(store.layers.info(id)), 0),
      created: image.configFile.created ?? new Date().toISOString(),
    })
  }
}

/** Uncompressed where that is known. */
function layerSize(info: LayerInfo | undefined): number {
  return info?.tarSize ?? info?.blobs?.[0]?.size ?? 0
}

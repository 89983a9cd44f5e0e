import { canonicalJson } from '../../base/canonical-json.ts'
import { sha256 } from '../../base/digest.ts'
import { TbuildError } from '../../base/errors.ts'
import type { TargetImage } from '../../build-options.ts'
import type { BlobStore, ImageIndex } from '../../store/types.ts'
import { formatImageReference, parseImageReference } from '../../values/image-reference.ts'
import { type Descriptor, type ImageConfigFile, MediaType } from '../../values/oci.ts'
import { formatPlatform, normalizePlatform, type Platform, samePlatform } from '../../values/platform.ts'
import { CONFIG_LIMIT } from '../image/document.ts'
import { parseImageConfig } from '../image/image-config.ts'
import { canRun } from '../image/platform-choice.ts'
import type { ImageSource, RemoteImage } from '../image/types.ts'

/**
 * Images of earlier builds by their `-t` name. Such an image has no manifest: its layers are named by diffID (uncompressed tars), their size is 0 as
 * nobody has packed them, and its manifest digest is computed from config and diffIDs, so that it is the same wherever the same image was built.
 */
export function storeSource(images: ImageIndex, blobs: BlobStore): ImageSource {
  const find = (text: string) => images.get(formatImageReference(parseImageReference(text)))
  return {
    async resolve(text, platform): Promise<RemoteImage> {
      const record = await find(text)
      if (record === undefined)
        throw new TbuildError('IMAGE_NOT_FOUND', `${text}: no such image in the store`, { hint: '`tbuild images` lists them' })
      return asRemoteImage(
        text,
        { ...record, config: await blobs.read(record.config, CONFIG_LIMIT), configDigest: record.config },
        platform,
      )
    },
  }
}

/** An image whose layers are in the store. `text`: what it was asked for as. Throws PLATFORM_NOT_FOUND. */
export function asRemoteImage(text: string, image: TargetImage & { readonly name: string }, wanted: Platform): RemoteImage {
  const config = Buffer.from(image.config)
  const configFile = parseImageConfig(config, image.layers.length, text)
  const platform = platformOf(configFile)
  if (!samePlatform(platform, wanted) && !canRun(wanted, platform)) {
    const message = `${text}: no match for platform ${formatPlatform(wanted)}; the store has ${formatPlatform(platform)}`
    throw new TbuildError('PLATFORM_NOT_FOUND', message, { hint: 'build the image for this platform first' })
  }
  const diffIds = image.layers.map(({ diffId }) => diffId)
  const digest = sha256(canonicalJson({ config: image.configDigest, layers: diffIds }))
  return {
    name: image.name,
    manifestDigest: digest,
    resolvedDigest: digest,
    platform,
    config,
    configFile,
    layers: diffIds.map((diffId): Descriptor => ({ mediaType: MediaType.ociLayer, digest: diffId, size: 0 })),
    layerIds: image.layers.map(({ id }) => id),
    async fetch(layer) {
      throw new TbuildError('IMAGE_NOT_FOUND', `${image.name} has no blob ${layer.digest}: its layers are directories of the store`, {
        hint: 'build the image again',
      })
    },
  }
}

function platformOf({ os, architecture, variant }: ImageConfigFile) {
  return normalizePlatform({ os, architecture, ...(typeof variant === 'string' && variant !== '' ? { variant } : {}) })
}

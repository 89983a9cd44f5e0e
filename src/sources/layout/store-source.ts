import { canonicalJson } from '../../base/canonical-json.ts'
import { sha256 } from '../../base/digest.ts'
import { TbuildError } from '../../base/errors.ts'
import type { BlobStore, ImageIndex, ImageRecord } from '../../store/types.ts'
import { formatImageReference, parseImageReference } from '../../values/image-reference.ts'
import { type Descriptor, type ImageConfigFile, MediaType } from '../../values/oci.ts'
import { formatPlatform, normalizePlatform, samePlatform } from '../../values/platform.ts'
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
      const config = await blobs.read(record.config, CONFIG_LIMIT)
      const configFile = parseImageConfig(config, record.layers.length, text)
      const offered = platformOf(configFile)
      if (!samePlatform(offered, platform) && !canRun(platform, offered)) {
        throw new TbuildError(
          'PLATFORM_NOT_FOUND',
          `${text}: no match for platform ${formatPlatform(platform)}; the store has ${formatPlatform(offered)}`,
          {
            hint: 'build the image for this platform first',
          },
        )
      }
      return toRemoteImage(record, config, configFile)
    },
  }
}

function toRemoteImage(record: ImageRecord, config: Buffer, configFile: ImageConfigFile): RemoteImage {
  const descriptors: Descriptor[] = record.layers.map(({ diffId }) => ({ mediaType: MediaType.ociLayer, digest: diffId, size: 0 }))
  const digest = sha256(canonicalJson({ config: record.config, layers: record.layers.map(({ diffId }) => diffId) }))
  return {
    name: record.name,
    manifestDigest: digest,
    resolvedDigest: digest,
    platform: platformOf(configFile),
    config,
    configFile,
    layers: descriptors,
    layerIds: record.layers.map(({ id }) => id),
    async fetch(layer) {
      throw new TbuildError('IMAGE_NOT_FOUND', `${record.name} has no blob ${layer.digest}: its layers are directories of the store`, {
        hint: 'build the image again',
      })
    },
  }
}

function platformOf({ os, architecture, variant }: ImageConfigFile) {
  return normalizePlatform({ os, architecture, ...(typeof variant === 'string' && variant !== '' ? { variant } : {}) })
}

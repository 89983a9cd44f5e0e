import { type Digest, sha256 } from '../../base/digest.ts'
import { TbuildError } from '../../base/errors.ts'
import type { Bytes } from '../../store/types.ts'
import type { Descriptor, ImageConfigFile, Manifest } from '../../values/oci.ts'
import { normalizePlatform, type Platform } from '../../values/platform.ts'
import { digestMismatch } from '../registry/client.ts'
import { sizeMismatch } from '../registry/verified-blob.ts'
import { CONFIG_LIMIT, type ImageDocument, INDEX_TYPES, MANIFEST_TYPES, parseImageDocument } from './document.ts'
import { parseImageConfig } from './image-config.ts'
import { canRun, platformNotFound, rankByPlatform } from './platform-choice.ts'
import type { RemoteImage } from './types.ts'

/** Where documents and layers of one image are read: the three ways that resolveImage is used with differ only in this. */
export interface ImageReader {
  /** At most MANIFEST_LIMIT bytes; `contentType` when a server said one. */
  manifest(digest: Digest): Promise<{ readonly bytes: Buffer; readonly contentType?: string | undefined }>
  /** At most CONFIG_LIMIT bytes. */
  config(descriptor: Descriptor): Promise<Buffer>
  open(layer: Descriptor, signal?: AbortSignal): Promise<Bytes>
}

interface Chosen {
  readonly digest: Digest
  readonly manifest: Manifest
}

/** Indexes inside indexes are followed this deep. */
const INDEX_DEPTH = 3

/** From the digest of a manifest or index to the image of a platform. */
export async function resolveImage(name: string, root: Digest, wanted: Platform, reader: ImageReader): Promise<RemoteImage> {
  const document = await readDocument(name, { digest: root }, reader)
  const { digest, manifest } =
    document.kind === 'manifest' ? { digest: root, manifest: document.manifest } : await chooseManifest(name, document, wanted, reader)
  const { config, configFile } = await readConfig(name, manifest, reader)
  const platform = platformOfConfig(configFile)
  return {
    name,
    manifestDigest: digest,
    resolvedDigest: root,
    platform,
    config,
    configFile,
    layers: manifest.layers,
    fetch: fetchOf(name, manifest, reader),
  }
}

function fetchOf(name: string, manifest: Manifest, reader: ImageReader): RemoteImage['fetch'] {
  return async (layer, signal) => {
    // Only what the manifest names: nothing else was vouched for by its digest.
    if (manifest.layers.some(({ digest }) => digest === layer.digest)) return reader.open(layer, signal)
    throw new TbuildError('IMAGE_NOT_FOUND', `${name} has no layer ${layer.digest}`, { hint: 'resolve the image again' })
  }
}

async function readDocument(
  name: string,
  entry: Pick<Descriptor, 'digest'> & Partial<Descriptor>,
  reader: ImageReader,
): Promise<ImageDocument> {
  const { bytes, contentType } = await reader.manifest(entry.digest)
  const what = `${name}: ${entry.digest}`
  if (entry.size !== undefined && bytes.length !== entry.size) throw sizeMismatch(what, entry.size, String(bytes.length))
  const digest = sha256(bytes)
  if (digest !== entry.digest) throw digestMismatch(what, entry.digest, digest)
  return parseImageDocument(bytes, what, contentType)
}

/** As containerd's images.Manifest: the best entry by platform; one without a platform is judged by its config. */
async function chooseManifest(
  name: string,
  document: Extract<ImageDocument, { kind: 'index' }>,
  wanted: Platform,
  reader: ImageReader,
  depth = 1,
): Promise<Chosen> {
  const { manifests } = document.index
  for (const entry of rankByPlatform(manifests, wanted)) {
    if (!MANIFEST_TYPES.has(entry.mediaType) && !INDEX_TYPES.has(entry.mediaType)) continue
    const found = await readDocument(name, entry, reader)
    if (found.kind === 'index') {
      if (depth >= INDEX_DEPTH)
        throw new TbuildError('MANIFEST_INVALID', `${name}: indexes are nested too deep`, { hint: 'name the inner image by its digest' })
      return chooseManifest(name, found, wanted, reader, depth + 1)
    }
    const { manifest } = found
    if (entry.platform !== undefined) return { digest: entry.digest, manifest }
    const { configFile } = await readConfig(name, manifest, reader)
    if (canRun(wanted, platformOfConfig(configFile))) return { digest: entry.digest, manifest }
  }
  throw platformNotFound(name, wanted, manifests)
}

async function readConfig(name: string, manifest: Manifest, reader: ImageReader): Promise<{ config: Buffer; configFile: ImageConfigFile }> {
  const { digest, size } = manifest.config
  const what = `${name}: config ${digest}`
  if (size > CONFIG_LIMIT)
    throw new TbuildError('MANIFEST_INVALID', `${what}: more than ${CONFIG_LIMIT} bytes`, { hint: 'no image has such a config' })
  const config = await reader.config(manifest.config)
  if (config.length !== size) throw sizeMismatch(what, size, String(config.length))
  const found = sha256(config)
  if (found !== digest) throw digestMismatch(what, digest, found)
  return { config, configFile: parseImageConfig(config, manifest.layers.length, what) }
}

function platformOfConfig(file: ImageConfigFile): Platform {
  const { os, architecture, variant, 'os.version': osVersion } = file
  return normalizePlatform({
    os,
    architecture,
    ...(typeof variant === 'string' && variant !== '' ? { variant } : {}),
    ...(typeof osVersion === 'string' && osVersion !== '' ? { osVersion } : {}),
  })
}

import { gzipSync } from 'node:zlib'
import { type Digest, sha256 } from '../../src/base/digest.ts'
import { MediaType } from '../../src/values/oci.ts'

export interface TestDocument {
  readonly mediaType: string
  readonly bytes: Buffer
  readonly digest: Digest
}

/** The blobs and documents of a small image; its layers are any bytes, compressed with gzip. */
export interface TestImage {
  readonly manifest: TestDocument
  readonly config: Buffer
  readonly layers: readonly Buffer[]
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant?: string }
}

export function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}

export function document(mediaType: string, value: unknown): TestDocument {
  const bytes = json(value)
  return { mediaType, bytes, digest: sha256(bytes) }
}

export interface TestImageOptions {
  readonly platform?: TestImage['platform']
  readonly layers?: readonly string[]
  readonly docker?: boolean
  /** Merged over the config and the manifest: for hostile ones. */
  readonly config?: object
  readonly manifest?: object
}

export function makeImage(options: TestImageOptions = {}): TestImage {
  const platform = options.platform ?? { os: 'linux', architecture: 'amd64' }
  const contents = (options.layers ?? ['bottom', 'top']).map((text) => Buffer.from(text))
  const layers = contents.map((content) => gzipSync(content))
  const rootfs = { type: 'layers', diff_ids: contents.map((content) => sha256(content)) }
  const config = json({ ...platform, config: { Env: ['PATH=/bin'] }, rootfs, ...options.config })
  const types = options.docker
    ? [MediaType.dockerManifest, MediaType.dockerConfig, MediaType.dockerLayerGzip]
    : [MediaType.ociManifest, MediaType.ociConfig, MediaType.ociLayerGzip]
  const [mediaType = '', configType = '', layerType = ''] = types
  const manifest = document(mediaType, {
    schemaVersion: 2,
    mediaType,
    config: { mediaType: configType, digest: sha256(config), size: config.length },
    layers: layers.map((layer) => ({ mediaType: layerType, digest: sha256(layer), size: layer.length })),
    ...options.manifest,
  })
  return { manifest, config, layers, platform }
}

export function makeIndex(images: readonly TestImage[], docker = false): TestDocument {
  const mediaType = docker ? MediaType.dockerIndex : MediaType.ociIndex
  const manifests = images.map(({ manifest, platform }) => ({
    mediaType: manifest.mediaType,
    digest: manifest.digest,
    size: manifest.bytes.length,
    platform,
  }))
  return document(mediaType, { schemaVersion: 2, mediaType, manifests })
}

export function blobsOf(image: TestImage): Buffer[] {
  return [image.config, ...image.layers]
}

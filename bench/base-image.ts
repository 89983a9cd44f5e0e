import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { writeSmallFiles, writeText } from './content.ts'
import { pushBlob, pushManifest } from './registry.ts'

export type Compression = 'gzip' | 'zstd'

/** What other people's compressors do at the level that is common for layers. */
const COMPRESSORS = { gzip: ['gzip', '-n', '-6'], zstd: ['zstd', '-q', '-3'] } as const

interface Layer {
  readonly diffId: string
  readonly digest: string
  readonly mediaType: string
  readonly size: number
}

export interface BaseImage {
  readonly layers: number
  /** Of all layers together, before compression. */
  readonly bytes: number
  readonly compression: Compression
  /** Makes its content differ from that of any other one. */
  readonly mark: string
}

/**
 * Pushes a base image that nobody has seen, as those of distributions are: half of its bytes in small files, half in a large one, on top of a busybox by whose
 * shell a RUN can be run. Returns its reference. `folder`: a new one for what it is made of.
 */
export async function pushBaseImage(host: string, repository: string, folder: string, busybox: string, image: BaseImage): Promise<string> {
  const layers: Layer[] = []
  mkdirSync(folder)
  for (let index = 0; index < image.layers; index += 1) {
    const files = join(folder, `files-${index}`)
    writeLayer(files, image.bytes / image.layers, index, image.mark)
    if (index === 0) execFileSync('sh', ['-c', 'mkdir -p "$1/bin" && cp "$2" "$1/bin/sh"', 'sh', files, busybox])
    layers.push(await pushLayer(host, repository, join(folder, `${index}.tar`), files, image.compression))
  }
  return pushImage(host, repository, folder, layers)
}

function writeLayer(files: string, bytes: number, index: number, mark: string): void {
  const top = join(files, `usr/${index}`)
  writeSmallFiles(join(top, 'share'), Math.ceil(bytes / 2 / 4096), `${mark} ${index}`)
  writeText(join(top, 'large'), Math.ceil(bytes / 2), `${mark} ${index}`)
}

async function pushLayer(host: string, repository: string, tar: string, files: string, compression: Compression): Promise<Layer> {
  const blob = `${tar}.${compression}`
  execFileSync('tar', ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '-C', files, '-cf', tar, '.'])
  const [compressor, ...options] = COMPRESSORS[compression]
  execFileSync('sh', ['-c', 'exec "$@" <"$IN" >"$OUT"', 'sh', compressor, ...options], { env: { ...process.env, IN: tar, OUT: blob } })
  const [diffId, digest] = [await digestOf(tar), await digestOf(blob)]
  await pushBlob(host, repository, digest, blob)
  return { diffId, digest, mediaType: `application/vnd.oci.image.layer.v1.tar+${compression}`, size: statSync(blob).size }
}

async function pushImage(host: string, repository: string, folder: string, layers: readonly Layer[]): Promise<string> {
  const config = join(folder, 'config.json')
  const created = new Date().toISOString()
  writeFileSync(
    config,
    JSON.stringify({
      created,
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Env: ['PATH=/bin'] },
      rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
      history: layers.map(() => ({ created, created_by: 'npm run bench' })),
    }),
  )
  const digest = await digestOf(config)
  await pushBlob(host, repository, digest, config)
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const manifest = {
    schemaVersion: 2,
    mediaType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: statSync(config).size },
    layers: layers.map((layer) => ({ mediaType: layer.mediaType, digest: layer.digest, size: layer.size })),
  }
  return pushManifest(host, repository, 'latest', mediaType, Buffer.from(JSON.stringify(manifest)))
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return `sha256:${hash.digest('hex')}`
}

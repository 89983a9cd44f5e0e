import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { lstat, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, hexOf, parseDigest } from '../../src/base/digest.ts'
import { TbuildError } from '../../src/base/errors.ts'
import type { Bytes } from '../../src/store/types.ts'
import { decompressLayer } from '../../src/tar/layer-bytes.ts'
import { readTar } from '../../src/tar/read.ts'
import { type Descriptor, type ImageConfigFile, type Index, type Manifest, MediaType } from '../../src/values/oci.ts'

const INDEXES: readonly string[] = [MediaType.ociIndex, MediaType.dockerIndex]
const MAX_DOCUMENT = 4 * 1024 * 1024

/**
 * The oracle for whatever writes an OCI image layout: every digest and size, the counts of layers, diffIDs and non-empty history entries, each layer's diffID,
 * and that each layer is a tar. Throws IMAGE_INVALID.
 */
export async function validateLayout(directory: string): Promise<void> {
  const layout = JSON.parse(await readFile(join(directory, 'oci-layout'), 'utf8')) as { imageLayoutVersion?: string }
  check(layout.imageLayoutVersion === '1.0.0', 'oci-layout has no version 1.0.0')
  const index = JSON.parse(await readFile(join(directory, 'index.json'), 'utf8')) as Index
  check(index.schemaVersion === 2 && Array.isArray(index.manifests), 'index.json is no index')
  for (const entry of index.manifests) await validateEntry(directory, entry, 1)
}

async function validateEntry(directory: string, entry: Descriptor, depth: number): Promise<void> {
  check(depth <= 2, 'indexes are nested too deeply')
  const document = JSON.parse((await readBlob(directory, entry)).toString('utf8')) as Partial<Manifest & Index>
  check(
    document.schemaVersion === 2 && document.mediaType === entry.mediaType,
    `${entry.digest} has another media type than its descriptor`,
  )
  check(document.manifests === undefined || document.layers === undefined, `${entry.digest} is an index and a manifest at once`)
  if (!INDEXES.includes(entry.mediaType)) return validateImage(directory, document as Manifest)
  for (const inner of (document as Index).manifests) await validateEntry(directory, inner, depth + 1)
}

async function validateImage(directory: string, manifest: Manifest): Promise<void> {
  const config = JSON.parse((await readBlob(directory, manifest.config)).toString('utf8')) as ImageConfigFile
  const diffIds = config.rootfs.diff_ids
  const history = (config.history ?? []).filter((entry) => entry.empty_layer !== true)
  check(config.os !== '' && config.architecture !== '', 'the config has no platform')
  check(diffIds.length === manifest.layers.length, `${manifest.layers.length} layers and ${diffIds.length} diffIDs`)
  check(history.length === diffIds.length, `${history.length} history entries with a layer and ${diffIds.length} layers`)
  for (const [index, layer] of manifest.layers.entries()) {
    const hash = createHash('sha256')
    for await (const { content } of readTar(hashed(decompressLayer(openBlob(directory, layer), layer.mediaType), hash)))
      for await (const _ of content);
    const diffId = `sha256:${hash.digest('hex')}` as Digest
    check(diffId === diffIds[index], `layer ${index} has diffID ${diffId}, the config says ${diffIds[index]}`)
  }
}

async function readBlob(directory: string, descriptor: Descriptor): Promise<Buffer> {
  check(descriptor.size <= MAX_DOCUMENT, `${descriptor.digest} is too large for a document`)
  const parts: Uint8Array[] = []
  for await (const chunk of openBlob(directory, descriptor)) parts.push(chunk)
  return Buffer.concat(parts)
}

/** The bytes, compared with digest and size at their end. */
async function* openBlob(directory: string, { digest, size }: Descriptor): Bytes {
  const path = join(directory, 'blobs/sha256', hexOf(parseDigest(digest)))
  const stat = await lstat(path)
  check(stat.isFile() && stat.size === size, `blob ${digest} is not a file of ${size} bytes`)
  const hash = createHash('sha256')
  // Checked before anything is decoded: a decoder's complaint would hide the cause.
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  check((`sha256:${hash.digest('hex')}` as Digest) === digest, `blob ${digest} has another digest`)
  yield* createReadStream(path)
}

async function* hashed(bytes: Bytes, hash: ReturnType<typeof createHash>): Bytes {
  for await (const chunk of bytes) {
    hash.update(chunk)
    yield chunk
  }
}

function check(holds: boolean, message: string): void {
  if (!holds) throw new TbuildError('IMAGE_INVALID', message)
}

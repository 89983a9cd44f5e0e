import { chmodSync, chownSync, lstatSync, mkdirSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { isDigest } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import type { CacheMountContent, CacheMountEntry, CacheMounts } from '../store/cache-mounts.ts'
import { layoutBlobs, readLayoutIndex, writeLayoutIndex } from '../store/image-layout.ts'
import type { BlobStore } from '../store/types.ts'
import { gzip } from '../tar/gzip.ts'
import { decompressLayer } from '../tar/layer-bytes.ts'
import { readTar } from '../tar/read.ts'
import type { TarItem } from '../tar/types.ts'
import { writeTar } from '../tar/write.ts'
import { rawLayer } from '../tree/raw-layer.ts'
import { unpackArchive } from '../tree/unpack.ts'
import { layeredView } from '../tree/view.ts'
import { layerWriter } from '../tree/writer.ts'
import { idMap } from '../values/id-map.ts'
import { DEFAULT_LIMITS } from '../values/limits.ts'
import { type Descriptor, MediaType, REF_NAME } from '../values/oci.ts'
import { treeItems } from './tar.ts'

/**
 * Cache mounts as an OCI artefact: an image layout with one manifest, a layer for each directory of each mount. Other tools carry it (`oras cp`, `skopeo
 * copy`, a CI's own cache). Owners, modes, times and extended attributes are kept; a digest that is wrong refuses the whole import.
 */
export const ARTIFACT = 'application/vnd.tbuild.cache-mounts.v1'
const EMPTY = 'application/vnd.oci.empty.v1+json'
const ID = 'tbuild.cache.id'
const SCOPE = 'tbuild.cache.scope'
const ROOT = 'tbuild.cache.root'
/** Fast, since it is made and read once. */
const LEVEL = 1
const LIMIT = 8 * 1024 * 1024
const LAYER_COUNT = 4096

/** `directory` is made; it must not hold anything else. Returns what was written. */
export async function exportCacheMounts(
  mounts: CacheMounts,
  entries: readonly CacheMountEntry[],
  directory: string,
): Promise<CacheMountEntry[]> {
  mkdirSync(join(directory, 'blobs/sha256'), { recursive: true })
  const blobs = layoutBlobs(directory)
  const layers: Descriptor[] = []
  const done: CacheMountEntry[] = []
  for (const entry of entries) {
    const content = mounts.hold(entry.key)
    if (content === undefined) throw inUse(entry.id)
    try {
      for (const path of content.directories) layers.push(await putDirectory(blobs, content, path))
    } finally {
      content.release()
    }
    done.push(entry)
  }
  const config = { mediaType: EMPTY, ...(await blobs.put(Buffer.from('{}'))) }
  const text = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociManifest, artifactType: ARTIFACT, config, layers }))
  const manifest = { mediaType: MediaType.ociManifest, artifactType: ARTIFACT, ...(await blobs.put(text)) }
  const entry = { ...manifest, annotations: { [REF_NAME]: 'latest' } }
  await writeLayoutIndex(directory, JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [entry] }))
  return done
}

async function putDirectory(blobs: BlobStore, { id, scope }: CacheMountContent, path: string): Promise<Descriptor> {
  const { mode, uid, gid, mtimeMs } = lstatSync(path)
  const root = JSON.stringify({ mode: mode & 0o7777, uid, gid, mtime: mtimeMs / 1000 })
  const blob = await blobs.put(gzip(writeTar(directoryItems(path)), { level: LEVEL }))
  return { mediaType: MediaType.ociLayerGzip, ...blob, annotations: { [ID]: id, [SCOPE]: scope, [ROOT]: root } }
}

/** With nanoseconds: build tools compare times exactly. */
function* directoryItems(path: string): Generator<TarItem> {
  const view = rawLayer(path)
  try {
    yield* treeItems([{ view, folder: undefined, epoch: undefined, nanoseconds: true }])
  } finally {
    view.close()
  }
}

/** Puts the mounts of an artefact in place of those of the same id. `wanted`: only these ids. Returns the ids. */
export async function importCacheMounts(mounts: CacheMounts, directory: string, wanted: readonly string[]): Promise<string[]> {
  const blobs = layoutBlobs(directory)
  const layers = await readLayers(blobs, directory)
  const groups = new Map<string, CacheLayer[]>()
  for (const layer of layers) {
    if (wanted.length > 0 && !wanted.includes(layer.id)) continue
    const key = JSON.stringify([layer.id, layer.scope])
    groups.set(key, [...(groups.get(key) ?? []), layer])
  }
  const missing = wanted.find((id) => !layers.some((layer) => layer.id === id))
  if (missing !== undefined) throw new TbuildError('CACHE_MOUNT_MISSING', `${directory} has no cache mount ${missing}`)
  for (const group of groups.values()) {
    const { id, scope } = group[0] as CacheLayer
    const fills = group.map((layer) => (path: string) => fill(blobs, layer, path))
    if (!(await mounts.restore({ id, scope }, fills))) throw inUse(id)
  }
  return [...groups.values()].map((group) => (group[0] as CacheLayer).id)
}

interface CacheLayer {
  readonly id: string
  readonly scope: string
  readonly descriptor: Descriptor
  readonly root: { readonly mode: number; readonly uid: number; readonly gid: number; readonly mtime: number }
}

async function readLayers(blobs: BlobStore, directory: string): Promise<CacheLayer[]> {
  const index = await readIndex(directory)
  const { manifests } = parse(index, directory) as { manifests?: unknown }
  const entries: unknown[] = Array.isArray(manifests) ? manifests : []
  const digest = (entries as ({ digest?: unknown; artifactType?: unknown } | null)[]).find(
    (entry) => entry?.artifactType === ARTIFACT,
  )?.digest
  if (!isDigest(digest)) throw invalid(directory, 'no manifest of cache mounts')
  const manifest = parse((await blobs.read(digest, LIMIT)).toString('utf8'), directory) as { layers?: unknown }
  if (!isLayerList(manifest.layers)) throw invalid(directory, 'no layers, or too many')
  return manifest.layers.map((layer) => readLayer(layer, directory))
}

async function readIndex(directory: string): Promise<string> {
  const index = await readLayoutIndex(directory, LIMIT).catch((cause: unknown) => {
    throw invalid(directory, (cause as Error).message, cause)
  })
  if (index === undefined) throw invalid(directory, 'it has no index.json')
  return index.toString('utf8')
}

function readLayer(value: unknown, directory: string): CacheLayer {
  const descriptor = value as Descriptor
  const { [ID]: id, [SCOPE]: scope, [ROOT]: root } = descriptor?.annotations ?? {}
  if (!isDigest(descriptor?.digest) || typeof id !== 'string' || typeof scope !== 'string' || typeof root !== 'string') {
    throw invalid(directory, 'a layer without its annotations')
  }
  const { mode, uid, gid, mtime } = parse(root, directory) as CacheLayer['root']
  const numbers = [mode, uid, gid, mtime].every((number) => typeof number === 'number' && number >= 0 && number < 2 ** 53)
  if (!numbers || mode > 0o7777 || ![mode, uid, gid].every(Number.isInteger)) throw invalid(directory, 'a bad owner or mode')
  return { id, scope, descriptor, root: { mode, uid, gid, mtime } }
}

async function fill(blobs: BlobStore, { descriptor, root }: CacheLayer, path: string): Promise<void> {
  const writer = layerWriter(path, layeredView([]))
  try {
    const maxBytes = DEFAULT_LIMITS.unpack
    const tar = decompressLayer(blobs.get(descriptor.digest), descriptor.mediaType, { maxBytes })
    await unpackArchive(readTar(tar, { maxBytes }), writer, { target: '' })
  } finally {
    writer.finish()
  }
  const { uid, gid } = idMap().onDisk(root)
  chownSync(path, uid, gid)
  chmodSync(path, root.mode)
  utimesSync(path, root.mtime, root.mtime)
}

/** Of sane length: a store has a mount for each tool. */
export function isLayerList(value: unknown): value is unknown[] {
  return Array.isArray(value) && value.length <= LAYER_COUNT
}

/** The id of the mount that a layer is of. */
export function mountsOf(layer: Partial<Descriptor> | null): string | undefined {
  const id = layer?.annotations?.[ID]
  return typeof id === 'string' ? id : undefined
}

function parse(text: string, directory: string): unknown {
  try {
    return JSON.parse(text) ?? {}
  } catch {
    throw invalid(directory, 'bad JSON')
  }
}

function invalid(directory: string, what: string, cause?: unknown): TbuildError {
  return new TbuildError('CACHE_EXPORT_INVALID', `${directory} is no export of cache mounts: ${what}`, { cause })
}

function inUse(id: string): TbuildError {
  return new TbuildError('CACHE_MOUNT_IN_USE', `the cache mount ${id} is used by a running build`, { hint: 'try again when it has ended' })
}

import { isDigest } from '../base/digest.ts'
import { errorCode, TbuildError } from '../base/errors.ts'
import { INLINE_CACHE } from '../image/assemble.ts'
import { CONFIG_LIMIT, MANIFEST_LIMIT, toDescriptor } from '../sources/image/document.ts'
import { verifiedBytes } from '../sources/registry/verified-blob.ts'
import { type Descriptor, LAYER_TYPES, MediaType } from '../values/oci.ts'
import type { CacheBackend } from './backends.ts'
import {
  CACHE_CONFIG_LIMIT,
  CONFIG_MEDIA_TYPE,
  type ConfigRecord,
  isTime,
  parseCacheConfig,
  parseInlineRecords,
} from './buildkit/cache-config.ts'
import { CREATED, DIFF_ID, type OfferedLayer } from './chain-layers.ts'

/** One cache: results of its records name positions in `layers`. */
export interface LoadedCache {
  readonly records: readonly ConfigRecord[]
  readonly layers: readonly OfferedLayer[]
}

/** What was found at a backend. */
export interface Loaded {
  readonly caches: readonly LoadedCache[]
  /** Nothing wrong, but worth knowing: why nothing of it is used. */
  readonly notices: readonly string[]
}

const IMAGE_CONFIGS: ReadonlySet<string> = new Set([MediaType.ociConfig, MediaType.dockerConfig])
const INDEX_DEPTH = 2
/** Platforms of an image with inline caches, or tags of a layout. */
const MANIFESTS = 16
const LAYER_COUNT = 4096

type Members = Readonly<Record<string, unknown>>

/** Only metadata is read. Throws CACHE_INVALID, DIGEST_MISMATCH, IMAGE_NOT_FOUND, REGISTRY_… */
export async function loadCaches(backend: CacheBackend, signal: AbortSignal): Promise<Loaded> {
  const caches: LoadedCache[] = []
  const notices = new Set<string>()
  const visit = async (bytes: Buffer, depth: number): Promise<void> => {
    const document = parseObject(bytes)
    const entries = Array.isArray(document.manifests) ? descriptors(document.manifests, backend) : undefined
    const config = entries?.find(({ mediaType }) => mediaType === CONFIG_MEDIA_TYPE)
    if (entries !== undefined && config !== undefined) caches.push(await loadConfig(backend, config, entries, signal))
    else if (entries === undefined) {
      const found = await loadManifest(backend, document, signal)
      if (typeof found === 'string') notices.add(found)
      else caches.push(found)
    } else {
      if (depth === INDEX_DEPTH) throw new TbuildError('CACHE_INVALID', 'its indexes are nested too deep')
      for (const entry of entries.slice(0, MANIFESTS)) {
        if (!isAttestation(entry)) await visit(await backend.manifest(entry.digest, signal), depth + 1)
      }
    }
  }
  await visit(await backend.root(signal), 0)
  return { caches, notices: caches.length > 0 ? [] : [...notices] }
}

/** A cache in the form of an image manifest, an image with a cache, or what the manifest is instead. */
async function loadManifest(backend: CacheBackend, manifest: Members, signal: AbortSignal): Promise<LoadedCache | string> {
  const config = toDescriptor(manifest.config, backend.name)
  const layers = descriptors(manifest.layers ?? [], backend)
  if (config.mediaType === CONFIG_MEDIA_TYPE) return loadConfig(backend, config, layers, signal)
  if (!IMAGE_CONFIGS.has(config.mediaType))
    throw new TbuildError('CACHE_INVALID', `it has a config of the type ${JSON.stringify(config.mediaType).slice(0, 120)}`)
  return inlineCache(parseObject(await readBlob(backend, config, CONFIG_LIMIT, signal)), layers)
}

async function loadConfig(
  backend: CacheBackend,
  descriptor: Descriptor,
  offered: readonly Descriptor[],
  signal: AbortSignal,
): Promise<LoadedCache> {
  const { layers, records } = parseCacheConfig(await readBlob(backend, descriptor, CACHE_CONFIG_LIMIT, signal))
  const known = new Map(offered.map((layer) => [layer.digest, layer]))
  const offers = layers.map(({ blob, created }) => {
    const layer = known.get(blob)
    if (layer === undefined) throw new TbuildError('CACHE_INVALID', `its manifest has no layer ${blob}`)
    const { [DIFF_ID]: diffId, [CREATED]: annotated } = layer.annotations ?? {}
    return offerOf(layer, diffId, created ?? annotated)
  })
  return { records, layers: offers }
}

function offerOf({ mediaType, digest, size }: Descriptor, diffId: unknown, created: unknown): OfferedLayer {
  if (!LAYER_TYPES.has(mediaType))
    throw new TbuildError('CACHE_INVALID', `it has a layer of the type ${JSON.stringify(mediaType).slice(0, 120)}`)
  if (!isDigest(diffId)) throw new TbuildError('CACHE_INVALID', `the diffID of its layer ${digest} is none`)
  return { descriptor: { mediaType, digest, size }, diffId, ...(isTime(created) ? { created } : {}) }
}

/** The layers are those of the image, from its bottom. */
function inlineCache(config: Members, layers: readonly Descriptor[]): LoadedCache | string {
  const member = config[INLINE_CACHE]
  if (member === undefined || member === null) return 'an image without an inline cache'
  if (typeof member !== 'string') throw new TbuildError('CACHE_INVALID', 'its inline cache is no text')
  const { diff_ids: diffIds } = (config.rootfs ?? {}) as { diff_ids?: unknown }
  if (!Array.isArray(diffIds) || diffIds.length !== layers.length)
    throw new TbuildError('CACHE_INVALID', 'it has not the layers of its config')
  const times = layerTimes(config.history)
  const offered = layers.map((descriptor, index) => offerOf(descriptor, diffIds[index], times[index]))
  return { records: parseInlineRecords(Buffer.from(member, 'base64'), layers.length), layers: offered }
}

function layerTimes(history: unknown): unknown[] {
  if (!Array.isArray(history)) return []
  const entries = history.filter((entry): entry is Members => entry !== null && typeof entry === 'object')
  return entries.filter((entry) => entry.empty_layer !== true).map(({ created }) => created)
}

function descriptors(value: unknown, backend: CacheBackend): Descriptor[] {
  if (!Array.isArray(value) || value.length > LAYER_COUNT) throw new TbuildError('CACHE_INVALID', 'its layers are no list of sane length')
  return value.map((entry) => toDescriptor(entry, backend.name))
}

async function readBlob(backend: CacheBackend, descriptor: Descriptor, limit: number, signal: AbortSignal): Promise<Buffer> {
  if (descriptor.size > limit) throw new TbuildError('CACHE_INVALID', `its config has more than ${limit} bytes`)
  const chunks: Uint8Array[] = []
  const bytes = verifiedBytes(await backend.blob(descriptor.digest, signal), descriptor, `config ${descriptor.digest}`)
  for await (const chunk of bytes) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function isAttestation({ annotations }: Descriptor): boolean {
  return annotations?.['vnd.docker.reference.type'] !== undefined
}

function parseObject(bytes: Buffer): Members {
  try {
    if (bytes.length > MANIFEST_LIMIT + CONFIG_LIMIT) throw new SyntaxError('too long')
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as Members
  } catch (error) {
    if (errorCode(error) !== undefined) throw error
  }
  throw new TbuildError('CACHE_INVALID', 'it is no JSON object')
}

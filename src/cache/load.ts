import type { Digest } from '../base/digest.ts'
import { errorCode, TbuildError } from '../base/errors.ts'
import { type Descriptor, MediaType } from '../base/oci.ts'
import { INLINE_CACHE } from '../image/assemble.ts'
import { CONFIG_LIMIT, MANIFEST_LIMIT, toDescriptor } from '../registry/document.ts'
import { verifiedBytes } from '../registry/verified-blob.ts'
import { CACHE_MEDIA_TYPE, type CacheDocument, checkDocument, DOCUMENT_LIMIT, parseDocument } from './document.ts'
import type { Place } from './places.ts'

/** A document and the blobs that its manifest has for it. */
export interface LoadedCache {
  readonly document: CacheDocument
  readonly blobs: ReadonlyMap<Digest, Descriptor>
}

/** What a cache was found to be: why it is not used, where it is not. */
export interface Loaded {
  readonly caches: readonly LoadedCache[]
  /** Nothing wrong, but worth knowing. */
  readonly notices: readonly string[]
}

const BUILDKIT_CONFIG = 'application/vnd.buildkit.cacheconfig.v0'
const BUILDKIT_MEMBER = 'moby.buildkit.cache.v0'
const BUILDKIT = 'a cache of BuildKit: its keys are not ours; ignored'
const IMAGE_CONFIGS: ReadonlySet<string> = new Set([MediaType.ociConfig, MediaType.dockerConfig])
const LAYERS: ReadonlySet<string> = new Set([
  ...[MediaType.ociLayer, MediaType.ociLayerGzip, MediaType.ociLayerZstd, MediaType.dockerLayer, MediaType.dockerLayerGzip],
])
const INDEX_DEPTH = 2
/** Platforms of an image with inline caches, or tags of a layout. */
const MANIFESTS = 16
const LAYER_COUNT = 4096

type Members = Readonly<Record<string, unknown>>

/** Only metadata is read. Throws CACHE_INVALID, DIGEST_MISMATCH, IMAGE_NOT_FOUND, REGISTRY_… */
export async function loadCaches(place: Place, signal: AbortSignal): Promise<Loaded> {
  const caches: LoadedCache[] = []
  const notices = new Set<string>()
  const visit = async (bytes: Buffer, depth: number): Promise<void> => {
    const document = parseObject(bytes)
    if (!Array.isArray(document.manifests)) {
      const found = await loadManifest(place, document, signal)
      if (typeof found === 'string') notices.add(found)
      else caches.push(found)
      return
    }
    if (depth === INDEX_DEPTH) throw new TbuildError('CACHE_INVALID', 'its indexes are nested too deep')
    const entries = document.manifests.slice(0, MANIFESTS).map((entry) => toDescriptor(entry, place.name))
    if (entries.some(({ mediaType }) => mediaType === BUILDKIT_CONFIG)) notices.add(BUILDKIT)
    else for (const entry of entries) if (!isAttestation(entry)) await visit(await place.manifest(entry.digest, signal), depth + 1)
  }
  await visit(await place.root(signal), 0)
  return { caches, notices: caches.length > 0 ? [] : [...notices] }
}

/** A cache, or what the manifest is instead. */
async function loadManifest(place: Place, manifest: Members, signal: AbortSignal): Promise<LoadedCache | string> {
  const config = toDescriptor(manifest.config, place.name)
  if (config.mediaType === BUILDKIT_CONFIG) return BUILDKIT
  const layers = manifest.layers ?? []
  if (!Array.isArray(layers) || layers.length > LAYER_COUNT) throw new TbuildError('CACHE_INVALID', 'its layers are no list of sane length')
  const descriptors = layers.map((layer) => toDescriptor(layer, place.name))
  const foreign = descriptors.find(({ mediaType }) => !LAYERS.has(mediaType))
  if (config.mediaType === CACHE_MEDIA_TYPE) {
    if (foreign !== undefined) throw new TbuildError('CACHE_INVALID', `it has a layer of the type ${JSON.stringify(foreign.mediaType)}`)
    const document = parseDocument(await readBlob(place, config, DOCUMENT_LIMIT, signal))
    return { document, blobs: new Map(descriptors.map((descriptor) => [descriptor.digest, descriptor])) }
  }
  if (IMAGE_CONFIGS.has(config.mediaType)) return inlineCache(parseObject(await readBlob(place, config, CONFIG_LIMIT, signal)), descriptors)
  throw new TbuildError('CACHE_INVALID', `it has a config of the type ${JSON.stringify(config.mediaType).slice(0, 120)}`)
}

/** The layers of the document are those of the image, by their diffIDs. */
function inlineCache(config: Members, descriptors: readonly Descriptor[]): LoadedCache | string {
  const member = config[INLINE_CACHE]
  if (member === undefined) return config[BUILDKIT_MEMBER] === undefined ? 'an image without an inline cache' : BUILDKIT
  const document = checkDocument(member)
  const { diff_ids: diffIds } = (config.rootfs ?? {}) as { diff_ids?: unknown }
  const blobs = new Map<unknown, Descriptor>()
  if (Array.isArray(diffIds) && diffIds.length === descriptors.length) {
    for (const [index, descriptor] of descriptors.entries()) if (LAYERS.has(descriptor.mediaType)) blobs.set(diffIds[index], descriptor)
  }
  const layers = document.layers.map((layer) => {
    // Base layers, which have no time, are had from their own image.
    const blob = layer.diffId !== undefined && layer.created !== undefined ? blobs.get(layer.diffId)?.digest : undefined
    const { blob: _claimed, ...rest } = layer
    return { ...rest, ...(blob === undefined ? {} : { blob }) }
  })
  return { document: { ...document, layers }, blobs: new Map([...blobs.values()].map((descriptor) => [descriptor.digest, descriptor])) }
}

async function readBlob(place: Place, descriptor: Descriptor, limit: number, signal: AbortSignal): Promise<Buffer> {
  if (descriptor.size > limit) throw new TbuildError('CACHE_INVALID', `its config has more than ${limit} bytes`)
  const chunks: Uint8Array[] = []
  const bytes = verifiedBytes(await place.blob(descriptor.digest, signal), descriptor, `config ${descriptor.digest}`)
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

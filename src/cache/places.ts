import { chmod, lstat, mkdir, readFile, rm, unlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Digest, hexOf, isDigest } from '../base/digest.ts'
import { errorCode, TbuildError } from '../base/errors.ts'
import { formatImageReference, type ImageReference, parseImageReference } from '../base/image-reference.ts'
import { type Descriptor, MediaType } from '../base/oci.ts'
import type { LayerBlob } from '../image/types.ts'
import type { RegistryClient } from '../registry/client.ts'
import { MANIFEST_LIMIT } from '../registry/document.ts'
import { writeAtomicSync } from '../store/atomic-file.ts'
import { createBlobStore } from '../store/blob-store.ts'
import type { BlobStore, Bytes } from '../store/types.ts'
import { CACHE_MEDIA_TYPE } from './document.ts'

/** Where caches lie: a directory or a repository. */
export interface Place {
  /** For messages. */
  readonly name: string
  /** Of a registry: where else its blobs can be mounted from. */
  readonly origin?: string
  /** The manifest or index to begin with. IMAGE_NOT_FOUND when there is none. */
  root(signal: AbortSignal): Promise<Buffer>
  manifest(digest: Digest, signal: AbortSignal): Promise<Buffer>
  /** Not verified. */
  blob(digest: Digest, signal?: AbortSignal): Promise<Bytes>
  /** Blobs first, so that the manifest never names what is not there. `anew`: what is there was found to be damaged. */
  put(
    manifest: CacheManifest,
    blobs: readonly LayerBlob[],
    options: { readonly signal: AbortSignal; readonly anew: boolean },
  ): Promise<void>
  close(): Promise<void>
}

/** Its exact bytes and those of its config. */
export interface CacheManifest {
  readonly descriptor: Descriptor
  readonly bytes: Buffer
  readonly config: { readonly descriptor: Descriptor; readonly bytes: Buffer }
}

const REF_NAME = 'org.opencontainers.image.ref.name'

/** An OCI image layout, with the cache as `latest`. */
export function localPlace(path: string): Place {
  const directory = resolve(path)
  const folder = join(directory, 'blobs/sha256')
  const blobs = blobsIn(folder)
  return {
    name: path,
    root: () => readIndex(directory),
    manifest: (digest) => blobs.read(digest, MANIFEST_LIMIT),
    blob: async (digest) => blobs.get(digest),
    async put({ descriptor, bytes, config }, layers, { anew }) {
      const before = await readEntries(directory)
      const others = before.filter((entry) => entry.artifactType !== CACHE_MEDIA_TYPE)
      if (others.some((entry) => entry.annotations?.[REF_NAME] === 'latest')) {
        throw new TbuildError('CACHE_EXPORT_REFUSED', `${path} has another image as latest`, { hint: 'name a directory of its own' })
      }
      await mkdir(folder, { recursive: true })
      const needed = new Set([descriptor, config.descriptor, ...layers.map((layer) => layer.descriptor)].map(({ digest }) => digest))
      if (anew) for (const digest of needed) await rm(join(folder, hexOf(digest)), { force: true, recursive: true })
      for (const { descriptor: layer, open } of layers) {
        if ((await blobs.stat(layer.digest))?.size !== layer.size) await blobs.put(open(), layer)
      }
      await blobs.put(config.bytes)
      await blobs.put(bytes)
      const entry = { ...descriptor, artifactType: CACHE_MEDIA_TYPE, annotations: { [REF_NAME]: 'latest' } }
      const index = { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [...others, entry] }
      await writeFile(directory, 'oci-layout', '{"imageLayoutVersion":"1.0.0"}')
      await writeFile(directory, 'index.json', JSON.stringify(index))
      // As other outputs are: whoever carries the directory need not be who built.
      for (const digest of needed) await chmod(join(folder, hexOf(digest)), 0o644)
      // A directory that holds nothing else does not grow with every build.
      if (others.length === 0) for await (const digest of blobs.list()) if (!needed.has(digest)) await unlink(join(folder, hexOf(digest)))
    },
    close: async () => {},
  }
}

async function writeFile(directory: string, name: string, text: string): Promise<void> {
  const path = join(directory, name)
  writeAtomicSync(join(directory, `.${name}.${process.pid}.tmp`), path, text, { durable: false })
  await chmod(path, 0o644)
}

/** The blobs of a layout that is nobody's store. */
function blobsIn(folder: string): BlobStore {
  let next = 0
  return createBlobStore({ folder, temporary: () => join(folder, `.${process.pid}.${next++}.tmp`), use: async (_digest, check) => check() })
}

async function readIndex(directory: string): Promise<Buffer> {
  const path = join(directory, 'index.json')
  try {
    const { size } = await lstat(path)
    if (size <= MANIFEST_LIMIT) return await readFile(path)
  } catch (cause) {
    if (errorCode(cause) !== 'ENOENT' && errorCode(cause) !== 'ENOTDIR') throw cause
    throw new TbuildError('IMAGE_NOT_FOUND', `${directory} has no index.json`, { cause })
  }
  throw new TbuildError('CACHE_INVALID', `${path} has more than ${MANIFEST_LIMIT} bytes`)
}

type IndexEntry = Partial<Descriptor> & { readonly artifactType?: unknown }

async function readEntries(directory: string): Promise<IndexEntry[]> {
  let found: unknown
  try {
    found = (JSON.parse((await readIndex(directory)).toString('utf8')) as { manifests?: unknown } | null)?.manifests
  } catch (error) {
    if (errorCode(error) === 'IMAGE_NOT_FOUND') return []
    if (!(error as Error).name.startsWith('Syntax')) throw error
  }
  if (Array.isArray(found) && found.every((entry) => isDigest((entry as IndexEntry | null)?.digest))) return found as IndexEntry[]
  throw new TbuildError('CACHE_EXPORT_REFUSED', `${directory} has an index.json that is not of an OCI image layout`, {
    hint: 'name a directory of its own',
  })
}

/** A tag of a repository. */
export function registryPlace(ref: string, environment: Readonly<Record<string, string | undefined>>): Place {
  const reference = parseImageReference(ref)
  let client: Promise<RegistryClient> | undefined
  const open = () => {
    client ??= import('../registry/client.ts').then(({ RegistryClient: Client }) => new Client({ environment }))
    return client
  }
  const repository = async () => (await open()).repository(reference.domain, reference.path)
  const name = formatImageReference(reference)
  return {
    ...{ name, origin: name },
    root: async (signal) => (await (await repository()).manifest(reference.digest ?? reference.tag ?? 'latest', signal)).bytes,
    manifest: async (digest, signal) => (await (await repository()).manifest(digest, signal)).bytes,
    blob: async (digest, signal) => (await repository()).blob(digest, signal),
    put: async (manifest, layers, { signal }) => push(await open(), reference, manifest, layers, signal),
    close: async () => (await client)?.close(),
  }
}

async function push(
  client: RegistryClient,
  reference: ImageReference,
  { descriptor, bytes, config }: CacheManifest,
  layers: readonly LayerBlob[],
  signal: AbortSignal,
): Promise<void> {
  const { pushImage } = await import('../registry/push.ts')
  const settings = {
    descriptor: config.descriptor,
    async *open() {
      yield config.bytes
    },
  }
  await pushImage(client, { reference, blobs: [...layers, settings], documents: [{ descriptor, bytes }], signal })
}

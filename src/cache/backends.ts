import { chmod, mkdir, rm, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, hexOf, isDigest } from '../base/digest.ts'
import { errorCode, TbuildError } from '../base/errors.ts'
import { allInParallel } from '../base/in-parallel.ts'
import { MANIFEST_LIMIT } from '../sources/image/document.ts'
import type { Registries } from '../sources/registry/open.ts'
import { changeLayout, LAYOUT_FILES, layoutBlobs, readLayoutIndex, writeLayoutIndex } from '../store/image-layout.ts'
import type { BlobStore, Bytes } from '../store/types.ts'
import { formatImageReference, manifestIdentifier, parseImageReference, repositoryIn } from '../values/image-reference.ts'
import { type Descriptor, MediaType, REF_NAME } from '../values/oci.ts'
import { CONFIG_MEDIA_TYPE } from './buildkit/cache-config.ts'
import type { CacheManifest } from './cache-manifest.ts'

/** Where caches lie: a directory or a repository. */
export interface CacheBackend {
  /** For messages. */
  readonly name: string
  /** Of a registry: where else its blobs can be mounted from. */
  readonly origin?: string
  /** The manifest or index to begin with. IMAGE_NOT_FOUND when there is none. */
  root(signal: AbortSignal): Promise<Buffer>
  manifest(digest: Digest, signal: AbortSignal): Promise<Buffer>
  /** Not verified. */
  blob(digest: Digest, signal?: AbortSignal): Promise<Bytes>
  /** Blobs first, so that the manifest never names what is not there. `isDamaged`: what is there was found to be damaged. */
  put(manifest: CacheManifest, options: { readonly signal: AbortSignal; readonly isDamaged: boolean }): Promise<void>
}

/** An OCI image layout, with the cache under a tag. `name` is for messages. */
export function localBackend(
  directory: string,
  { name: path = directory, tag = 'latest', digest }: { name?: string; tag?: string | undefined; digest?: Digest | undefined } = {},
): CacheBackend {
  const folder = join(directory, 'blobs/sha256')
  const blobs = layoutBlobs(directory)
  return {
    name: path,
    async root() {
      if (digest !== undefined) return blobs.read(digest, MANIFEST_LIMIT)
      const index = await readIndex(directory)
      const tagged = entriesOf(index)?.find((entry) => nameOf(entry) === tag)?.digest
      return tagged === undefined ? index : blobs.read(tagged, MANIFEST_LIMIT)
    },
    manifest: (wanted) => blobs.read(wanted, MANIFEST_LIMIT),
    blob: async (wanted) => blobs.get(wanted),
    put: (manifest, { signal, isDamaged }) =>
      changeLayout(directory, signal, async () => {
        const { descriptor } = manifest
        const { kept, replaced } = await otherEntries(directory, path, tag, blobs)
        await mkdir(folder, { recursive: true })
        const all = [
          ...manifest.blobs,
          {
            descriptor,
            open: async function* () {
              yield manifest.bytes
            },
          },
        ]
        const needed = new Map(all.map((blob) => [blob.descriptor.digest, blob]))
        const jobs = [...needed.values()].map((blob) => () => putBlob(blobs, blob, isDamaged))
        await allInParallel(jobs, PARALLEL_BLOBS)
        const entry = { ...descriptor, annotations: { [REF_NAME]: tag } }
        await writeLayoutIndex(directory, JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [...kept, entry] }))
        // Whoever carries the directory need not be who built.
        const files = [
          ...LAYOUT_FILES.map((name) => join(directory, name)),
          ...[...needed.keys()].map((wanted) => join(folder, hexOf(wanted))),
        ]
        for (const file of files) await chmod(file, 0o644)
        // A directory that holds nothing else does not grow with every build.
        if (kept.length > 0 || !replaced) return
        for await (const found of blobs.list()) if (!needed.has(found)) await unlink(join(folder, hexOf(found)))
      }),
  }
}

/** Written at once: while the disk is waited for with one, others are read and hashed. */
const PARALLEL_BLOBS = 4

/** Synced: a later export takes what is there, of the right size, for what its name says. */
async function putBlob(
  blobs: BlobStore,
  { descriptor, open }: Pick<CacheManifest['blobs'][number], 'descriptor' | 'open'>,
  isDamaged: boolean,
): Promise<void> {
  const found = await blobs.stat(descriptor.digest)
  if (!isDamaged && found?.size === descriptor.size) return
  // What is no file cannot be replaced by a rename; a file is, since it may be what is read.
  if (isDamaged && found === undefined) await rm(blobs.path(descriptor.digest), { force: true, recursive: true })
  await blobs.put(open(), descriptor)
}

/** A directory that is not there. */
export function missingBackend(name: string): CacheBackend {
  const refuse = () => Promise.reject(new TbuildError('IMAGE_NOT_FOUND', `${name} has no index.json`))
  return { name, root: refuse, manifest: refuse, blob: refuse, put: refuse }
}

/** What stays beside the cache. Another image under its tag is not overwritten. */
async function otherEntries(
  directory: string,
  path: string,
  tag: string,
  blobs: BlobStore,
): Promise<{ kept: IndexEntry[]; replaced: boolean }> {
  const before = await readEntries(directory)
  for (const entry of before) {
    if (nameOf(entry) !== tag || (await isCache(entry.digest, blobs))) continue
    throw new TbuildError('CACHE_EXPORT_REFUSED', `${path} has another image as ${tag}`, { hint: 'name a directory or a tag of its own' })
  }
  const kept = before.filter((entry) => nameOf(entry) !== tag)
  return { kept, replaced: kept.length < before.length }
}

/** What cannot be read is no image either. */
async function isCache(digest: Digest, blobs: BlobStore): Promise<boolean> {
  try {
    const manifest = JSON.parse((await blobs.read(digest, MANIFEST_LIMIT)).toString('utf8')) as {
      config?: Partial<Descriptor>
      manifests?: Partial<Descriptor>[]
    }
    return [manifest.config, ...(manifest.manifests ?? [])].some((entry) => entry?.mediaType === CONFIG_MEDIA_TYPE)
  } catch {
    return true
  }
}

async function readIndex(directory: string): Promise<Buffer> {
  const index = await readLayoutIndex(directory, MANIFEST_LIMIT)
  if (index !== undefined) return index
  throw new TbuildError('IMAGE_NOT_FOUND', `${directory} has no index.json`)
}

interface IndexEntry extends Partial<Descriptor> {
  readonly digest: Digest
}

function nameOf({ annotations }: IndexEntry): string | undefined {
  return annotations?.[REF_NAME]
}

/** Undefined for what is no index of an OCI image layout. */
function entriesOf(index: Buffer): IndexEntry[] | undefined {
  try {
    const found = (JSON.parse(index.toString('utf8')) as { manifests?: unknown } | null)?.manifests
    if (Array.isArray(found) && found.every((entry) => isDigest((entry as IndexEntry | null)?.digest))) return found as IndexEntry[]
  } catch {
    // Not JSON.
  }
  return undefined
}

async function readEntries(directory: string): Promise<IndexEntry[]> {
  let cause: unknown
  try {
    const index = await readLayoutIndex(directory, MANIFEST_LIMIT)
    const entries = index === undefined ? [] : entriesOf(index)
    if (entries !== undefined) return entries
  } catch (error) {
    if (errorCode(error) !== 'OCI_LAYOUT_INVALID') throw error
    cause = error
  }
  throw new TbuildError('CACHE_EXPORT_REFUSED', `${directory} has an index.json that is not of an OCI image layout`, {
    hint: 'name a directory of its own',
    cause,
  })
}

/** A tag of a repository. */
export function registryBackend(ref: string, registries: Registries, insecure = false): CacheBackend {
  const reference = parseImageReference(ref)
  const repository = async () => (await registries.client()).repository(reference.domain, reference.path, { insecure })
  const name = formatImageReference(reference)
  return {
    ...{ name, origin: name },
    root: async (signal) => (await (await repository()).manifest(manifestIdentifier(reference), signal)).bytes,
    manifest: async (digest, signal) => (await (await repository()).manifest(digest, signal)).bytes,
    blob: async (digest, signal) => (await repository()).blob(digest, signal),
    async put({ descriptor, bytes, blobs }, { signal }) {
      const { pushImage } = await import('../sources/registry/push.ts')
      const sent = blobs.map(({ origin, ...blob }) => {
        const from = repositoryIn(reference.domain, origin)
        return { ...blob, ...(from === undefined || from === reference.path ? {} : { from }) }
      })
      await pushImage(await registries.client(), { reference, blobs: sent, documents: [{ descriptor, bytes }], insecure, signal })
    },
  }
}

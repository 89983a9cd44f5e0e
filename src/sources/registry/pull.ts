import type { Digest } from '../../base/digest.ts'
import { errorCode, TbuildError } from '../../base/errors.ts'
import type { BlobStore } from '../../store/types.ts'
import {
  formatImageReference,
  type ImageReference,
  isPinned,
  manifestIdentifier,
  parseImageReference,
} from '../../values/image-reference.ts'
import type { Descriptor } from '../../values/oci.ts'
import type { Platform } from '../../values/platform.ts'
import { CONFIG_LIMIT, MANIFEST_LIMIT } from '../image/document.ts'
import { type ImageReader, resolveImage } from '../image/resolve-image.ts'
import type { ImageSource, PullRepository, RemoteImage } from '../image/types.ts'
import type { RegistryClient } from './client.ts'
import { fetchToBlobStore } from './verified-blob.ts'

/** What a tag meant when it was last asked for; the caller keeps it where it likes. Names are normalised. */
interface ResolutionCache {
  get(name: string): Promise<Digest | undefined>
  set(name: string, digest: Digest): Promise<void>
}

export interface RegistrySourceOptions {
  /** Keeps manifests and configs: with them there, resolving a tag is one HEAD and a digest none. */
  readonly blobs: BlobStore
  readonly client: RegistryClient
  readonly resolutions?: ResolutionCache
}

export interface RegistrySource extends ImageSource {
  /** Without the network: a digest, or the tag's last digest; undefined when the store lacks any part of manifest and config. */
  resolveFromStore(reference: string, platform: Platform): Promise<RemoteImage | undefined>
}

/** Images of OCI distribution registries. A tag is asked for each time; what its digest names is fetched once. */
export function registrySource(options: RegistrySourceOptions): RegistrySource {
  const { client } = options
  const repositoryOf = (reference: ImageReference) => client.pullRepository(reference.domain, reference.path, isPinned(reference))
  return {
    async resolve(text, platform, signal) {
      const reference = parseImageReference(text)
      const name = formatImageReference(reference)
      const repository = repositoryOf(reference)
      const reader = registryReader(repository, options.blobs, signal)
      const root = reference.digest ?? (await resolveName(repository, reference, options, signal))
      return resolveImage(name, root, platform, reader)
    },
    async resolveFromStore(text, platform) {
      const reference = parseImageReference(text)
      const name = formatImageReference(reference)
      const root = reference.digest ?? (await options.resolutions?.get(name))
      if (root === undefined) return undefined
      try {
        return await resolveImage(name, root, platform, storeOnlyReader(repositoryOf(reference), options.blobs))
      } catch (error) {
        if (errorCode(error) === 'BLOB_MISSING') return undefined
        throw error
      }
    },
  }
}

/** Of a tag, or of a digest that is no sha256. */
async function resolveName(
  repository: PullRepository,
  reference: ImageReference,
  options: RegistrySourceOptions,
  signal?: AbortSignal,
): Promise<Digest> {
  const identifier = manifestIdentifier(reference)
  const name = formatImageReference(reference)
  try {
    const asked = reference.foreignDigest === undefined ? await repository.resolveTag(identifier, signal).catch(ifNotFound) : undefined
    const digest = asked ?? (await resolveByGet(repository, identifier, options.blobs, signal))
    if (options.resolutions && (await options.resolutions.get(name)) !== digest) await options.resolutions.set(name, digest)
    return digest
  } catch (error) {
    throw await withOfflineHint(error, name, options)
  }
}

/** Some registries find by GET only; others say by GET only what is missing, since an answer to HEAD has no body. */
function ifNotFound(error: unknown): undefined {
  if (errorCode(error) !== 'IMAGE_NOT_FOUND') throw error
}

async function resolveByGet(repository: PullRepository, identifier: string, blobs: BlobStore, signal?: AbortSignal): Promise<Digest> {
  const { bytes, digest } = await repository.manifest(identifier, signal)
  await blobs.put(bytes, { digest, size: bytes.length })
  return digest
}

async function withOfflineHint(error: unknown, name: string, options: RegistrySourceOptions): Promise<unknown> {
  if (errorCode(error) !== 'REGISTRY_UNREACHABLE') return error
  const last = await options.resolutions?.get(name)
  if (last === undefined) return error
  const { message } = error as Error
  return new TbuildError('REGISTRY_UNREACHABLE', message, {
    hint: `the store knows ${name} as ${last}: name it by that digest to build without the registry`,
    cause: error,
  })
}

/** Documents from the store when they are there, otherwise from the registry and then in the store. */
function registryReader(repository: PullRepository, blobs: BlobStore, signal?: AbortSignal): ImageReader {
  return {
    async manifest(digest) {
      if (await blobs.stat(digest)) return { bytes: await blobs.read(digest, MANIFEST_LIMIT) }
      const { bytes, contentType } = await repository.manifest(digest, signal)
      await blobs.put(bytes, { digest, size: bytes.length })
      return { bytes, contentType }
    },
    async config(descriptor) {
      const what = `${repository.name}: config ${descriptor.digest}`
      await fetchToBlobStore(blobs, descriptor, () => repository.blob(descriptor.digest, signal), what)
      return blobs.read(descriptor.digest, CONFIG_LIMIT)
    },
    open: (layer, layerSignal) => repository.blob(layer.digest, layerSignal),
  }
}

function storeOnlyReader(repository: PullRepository, blobs: BlobStore): ImageReader {
  return {
    manifest: async (digest) => ({ bytes: await blobs.read(digest, MANIFEST_LIMIT) }),
    config: (descriptor: Descriptor) => blobs.read(descriptor.digest, CONFIG_LIMIT),
    open: (layer, signal) => repository.blob(layer.digest, signal),
  }
}

import type { Digest } from '../../base/digest.ts'
import { errorCode } from '../../base/errors.ts'
import type { BlobStore } from '../../store/types.ts'
import {
  formatImageReference,
  type ImageReference,
  isPinned,
  manifestIdentifier,
  parseImageReference,
} from '../../values/image-reference.ts'
import { CONFIG_LIMIT, MANIFEST_LIMIT } from '../image/document.ts'
import { type ImageReader, resolveImage } from '../image/resolve-image.ts'
import type { ImageSource, PullRepository } from '../image/types.ts'
import type { RegistryClient } from './client.ts'
import { fetchToBlobStore } from './verified-blob.ts'

export interface RegistrySourceOptions {
  /** Keeps manifests and configs: with them there, resolving a tag is one HEAD and a digest none. */
  readonly blobs: BlobStore
  readonly client: RegistryClient
}

/** Images of OCI distribution registries. A tag is asked for each time; what its digest names is fetched once. */
export function registrySource(options: RegistrySourceOptions): ImageSource {
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
  const asked = reference.foreignDigest === undefined ? await repository.resolveTag(identifier, signal).catch(ifNotFound) : undefined
  return asked ?? (await resolveByGet(repository, identifier, options.blobs, signal))
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

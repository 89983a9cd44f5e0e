import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, isDigest } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import { checkPackedSize } from '../layers/unpack-blob.ts'
import type { RegistryCaller, RegistryClient } from '../sources/registry/client.ts'
import { Registries } from '../sources/registry/open.ts'
import type { CacheMountEntry, CacheMounts } from '../store/cache-mounts.ts'
import { layoutBlobs } from '../store/image-layout.ts'
import { manifestIdentifier, parseImageReference } from '../values/image-reference.ts'
import { DEFAULT_LIMITS } from '../values/limits.ts'
import { type Descriptor, MediaType } from '../values/oci.ts'
import { ARTIFACT, exportCacheMounts, importCacheMounts, isLayerList, mountsOf } from './cache-mounts.ts'

/** A tag of a registry that holds cache mounts as one artefact. */
export interface CacheMountsTag {
  readonly ref: string
  readonly insecure?: boolean
  readonly caller: RegistryCaller
  /** A directory that is not there yet, for what is on the way; the caller removes it. */
  readonly folder: string
}

/** Bytes of a manifest. */
const DOCUMENT_LIMIT = 8 * 1024 * 1024

/** As `exportCacheMounts` to a directory, and from there to the registry, which gets only what it does not have. */
export async function pushCacheMounts(
  mounts: CacheMounts,
  entries: readonly CacheMountEntry[],
  tag: CacheMountsTag,
): Promise<CacheMountEntry[]> {
  const { folder, ref } = tag
  const done = await exportCacheMounts(mounts, entries, folder)
  const { pushImage } = await import('../sources/registry/push.ts')
  await withClient(tag, async (client) => {
    const blobs = layoutBlobs(folder)
    const descriptor = (JSON.parse(await readFile(join(folder, 'index.json'), 'utf8')) as { manifests: [Descriptor] }).manifests[0]
    const bytes = await blobs.read(descriptor.digest, DOCUMENT_LIMIT)
    const { config, layers } = JSON.parse(bytes.toString('utf8')) as { config: Descriptor; layers: Descriptor[] }
    const { mediaType, digest, size } = descriptor
    await pushImage(client, {
      reference: parseImageReference(ref),
      blobs: [...layers, config].map((blob) => ({ descriptor: blob, open: () => blobs.get(blob.digest) })),
      documents: [{ descriptor: { mediaType, digest, size }, bytes }],
      insecure: tag.insecure === true,
    })
  })
  return done
}

/** `wanted`: only these ids; the layers of others are not fetched. Returns the ids. */
export async function pullCacheMounts(mounts: CacheMounts, wanted: readonly string[], tag: CacheMountsTag): Promise<string[]> {
  const { folder, ref } = tag
  const reference = parseImageReference(ref)
  await mkdir(join(folder, 'blobs/sha256'), { recursive: true })
  await withClient(tag, async (client) => {
    const repository = client.repository(reference.domain, reference.path, { insecure: tag.insecure })
    const { bytes } = await repository.manifest(manifestIdentifier(reference))
    const blobs = layoutBlobs(folder)
    for (const { digest, size, id } of layersOf(bytes, ref)) {
      if (wanted.length > 0 && !wanted.includes(id)) continue
      checkPackedSize({ digest, size }, DEFAULT_LIMITS.unpack)
      if ((await blobs.stat(digest)) === undefined) await blobs.put(await repository.blob(digest), { digest, size })
    }
    const { digest, size } = await blobs.put(bytes)
    const entry = { mediaType: MediaType.ociManifest, artifactType: ARTIFACT, digest, size }
    await writeFile(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [entry] }))
  })
  return importCacheMounts(mounts, folder, wanted)
}

interface MountLayer {
  readonly digest: Digest
  readonly size: number
  readonly id: string
}

function layersOf(bytes: Buffer, ref: string): MountLayer[] {
  const invalid = (what: string) => new TbuildError('CACHE_EXPORT_INVALID', `${ref} is no export of cache mounts: ${what}`)
  let manifest: { artifactType?: unknown; layers?: unknown } | null
  try {
    manifest = JSON.parse(bytes.toString('utf8'))
  } catch {
    throw invalid('its manifest is not JSON')
  }
  if (manifest?.artifactType !== ARTIFACT || !isLayerList(manifest.layers)) throw invalid('it is something else')
  return manifest.layers.map((value) => {
    const layer = value as Partial<Descriptor> | null
    const { digest, size } = layer ?? {}
    const id = mountsOf(layer)
    if (!isDigest(digest) || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0 || id === undefined)
      throw invalid('a bad layer')
    return { digest, size, id }
  })
}

async function withClient({ caller }: CacheMountsTag, work: (client: RegistryClient) => Promise<void>): Promise<void> {
  const registries = new Registries(caller)
  try {
    await work(await registries.client())
  } finally {
    await registries.close()
  }
}

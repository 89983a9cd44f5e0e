import { TbuildError } from '../base/errors.ts'
import type { Progress } from '../base/events.ts'
import { runVertex } from '../base/run-vertex.ts'
import type { Image } from '../image/types.ts'
import type { LayerCatalog } from '../layers/types.ts'
import type { Store } from '../store/store.ts'
import type { LayerInfo } from '../store/types.ts'
import { formatImageReference, type ImageReference, isPinned, REFERENCE_HINT, readImageReference } from '../values/image-reference.ts'

/** `-t` values as full references; a digest is no name to give. */
export function parseTags(tags: readonly string[]): string[] {
  return tags.map((tag) => {
    const reference = parseTag(tag)
    if (isPinned(reference)) throw invalidTag(tag, 'a digest cannot be given as a name')
    return formatImageReference(reference)
  })
}

function parseTag(tag: string): ImageReference {
  const read = readImageReference(tag)
  if (typeof read === 'string') throw invalidTag(tag, read, REFERENCE_HINT)
  return read
}

function invalidTag(tag: string, problem: string, hint?: string): TbuildError {
  return new TbuildError('TAG_INVALID', `invalid tag ${JSON.stringify(tag)}: ${problem}`, { exitCode: 2, ...(hint && { hint }) })
}

/** Names for the store. */
export interface StoreNames {
  /** From then on the image can be used without the registry or the cache that its layers came from. */
  readonly own: readonly string[]
  /** A registry gets the image under these, too: what was not fetched stays there, and the name is its until somebody does. */
  readonly pushed: readonly string[]
}

interface TagDeps extends Progress {
  readonly store: Pick<Store, 'blobs' | 'images' | 'layers'>
  readonly layers: Pick<LayerCatalog, 'keep' | 'where'>
}

/** Puts the images into the store, under their names; a name stands for the first platform's image. */
export async function tagImages(images: readonly Image[], { own, pushed }: StoreNames, deps: TagDeps): Promise<void> {
  const { store } = deps
  for (const image of images) await store.blobs.put(image.config, { digest: image.configDigest, size: image.config.length })
  const [image] = images
  if (image === undefined) return
  if (own.length > 0) await keepLayers(image, deps)
  const { os, architecture, variant } = image.platform
  for (const name of [...own, ...pushed]) {
    await store.images.set({
      name,
      config: image.configDigest,
      layers: image.layers.map(({ id, diffId }) => ({ id, diffId })),
      platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
      size: image.layers.reduce((total, { id }) => total + layerSize(store.layers.recall(id)), 0),
      created: image.configFile.created ?? new Date().toISOString(),
    })
  }
}

/** From then on the store has each layer, or its blob. */
export async function keepLayers(image: Image, { layers, onEvent, signal }: Pick<TagDeps, 'layers' | 'onEvent' | 'signal'>): Promise<void> {
  const states = await layers.where(image.layers.map(({ id }) => id))
  const remote = [...states.keys()].filter((id) => states.get(id) === 'remote')
  if (remote.length === 0) return
  const fetch = () => layers.keep(remote, signal)
  await runVertex('store-layers', 'fetching layers of the image for the store', { onEvent, signal }, fetch)
}

/** Uncompressed where that is known. */
function layerSize(info: LayerInfo | undefined): number {
  return info?.tarSize ?? info?.blobs?.[0]?.size ?? 0
}

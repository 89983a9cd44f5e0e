import { chainDigests, type Digest, hexOf } from '../base/digest.ts'
import type { LayerId } from '../store/types.ts'
import type { Descriptor } from '../values/oci.ts'
import type { PackedLayer } from './types.ts'

/** What the layers of an image are called in the store: by chainID, so that layers that are there are never fetched again. */
export function chainIds(diffIds: readonly Digest[]): LayerId[] {
  return chainDigests(diffIds).map((chain) => hexOf(chain) as LayerId)
}

/**
 * The layers of an image, as its manifest and its config name them: as many of each. Without the annotations, by which the store knows blobs that it made itself.
 */
export function imageLayers(diffIds: readonly Digest[], descriptors: readonly Descriptor[]): PackedLayer[] {
  return chainIds(diffIds).map((id, index, ids) => ({
    id,
    diffId: diffIds[index] as Digest,
    descriptor: withoutAnnotations(descriptors[index] as Descriptor),
    parent: ids.slice(0, index),
  }))
}

function withoutAnnotations({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size }
}

import { canonicalJson } from '../base/canonical-json.ts'
import { type Digest, hexOf, sha256 } from '../base/digest.ts'
import type { Vertex } from '../graph/op.ts'
import type { LayerSource, PackedLayer } from '../layers/types.ts'
import type { Bytes, LayerId, Snapshot } from '../store/types.ts'
import { type Descriptor, MediaType } from '../values/oci.ts'
import { shownFiles } from './buildkit/nodes.ts'
import type { BaseIdentity } from './session.ts'

/** What BuildKit writes on the descriptor of a layer. */
export const DIFF_ID = 'containerd.io/uncompressed'
export const CREATED = 'buildkit/createdat'

/** A layer that a cache has. */
export interface OfferedLayer {
  readonly descriptor: Descriptor
  readonly diffId: Digest
  /** RFC 3339. */
  readonly created?: string
}

/** What a step stands on: the image at the bottom of its stage, and the steps from there on, itself the last. */
export interface Foundation {
  readonly base: Pick<BaseIdentity, 'diffIds' | 'layers'>
  readonly steps: readonly Vertex[]
}

/** Undefined for what stands on files of the caller, which no cache knows. */
export function foundationOf(vertex: Vertex, describe: (digest: Digest) => BaseIdentity): Foundation | undefined {
  const steps: Vertex[] = []
  let at: Vertex | undefined = vertex
  for (; at !== undefined && at.op.kind !== 'image'; at = at.root) {
    if (shownFiles(at) !== at) return undefined
    steps.push(at)
  }
  return { base: at?.op.kind === 'image' ? describe(at.op.digest) : { diffIds: [], layers: [] }, steps: steps.reverse() }
}

/** Of a tar without members, which BuildKit leaves out of caches and images. */
const EMPTY_DIFF = 'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef' as Digest
const EMPTY_BLOB = Buffer.from('H4sIAAAAAAAA/2IYBaNgFIxYAAgAAP//Lq+17wAEAAA=', 'base64')
const EMPTY: OfferedLayer = {
  diffId: EMPTY_DIFF,
  descriptor: { mediaType: MediaType.ociLayerGzip, digest: sha256(EMPTY_BLOB), size: EMPTY_BLOB.length },
}

/** What stands on the base's layers; undefined when the chain does not begin with them: then it is not this step's. */
export function ownLayers(chain: readonly OfferedLayer[], base: Foundation['base']): readonly OfferedLayer[] | undefined {
  let at = 0
  for (const diffId of base.diffIds) {
    if (chain[at]?.diffId === diffId) at += 1
    else if (diffId !== EMPTY_DIFF) return undefined
  }
  return chain.slice(at)
}

/**
 * One layer a step. `lengths`: how many of them there were after each step, where some made nothing and their empty layers were left out.
 */
export function spread(layers: readonly OfferedLayer[], lengths: readonly number[]): OfferedLayer[] | undefined {
  const all: OfferedLayer[] = []
  for (const [index, length] of lengths.entries()) {
    const before = lengths[index - 1] ?? 0
    const layer = length === before ? EMPTY : layers[length - 1]
    if (layer === undefined || length < before || length > before + 1) return undefined
    all.push(layer)
  }
  return lengths.at(-1) === layers.length ? all : undefined
}

/**
 * The layers of steps as layers of the store. Their ids follow from what they are said to be, never from what a cache calls them, so that no cache can name
 * a layer of the store, of an image or of another content; and each is compared with its diffID before the store has it.
 */
export function layersOfSteps(layers: readonly OfferedLayer[], { base, steps }: Foundation): PackedLayer[] {
  const below: LayerId[] = [...base.layers]
  return layers.map((layer, index) => {
    const step = steps[index]
    const parent: Snapshot = step?.op.kind === 'copy' && step.op.link ? [] : [...below]
    const known = storeLayer(layer, parent)
    below.push(known.id)
    return known
  })
}

function storeLayer({ diffId, descriptor, created }: OfferedLayer, parent: Snapshot): PackedLayer {
  const id = hexOf(sha256(canonicalJson(['cached layer', parent, diffId, created ?? null]))) as LayerId
  const { mediaType, digest, size } = descriptor
  return { id, diffId, descriptor: { mediaType, digest, size }, parent, created }
}

interface BlobPlace {
  readonly name: string
  readonly origin?: string
  blob(digest: Digest, signal: AbortSignal): Promise<Bytes>
}

/** A cache as the source of its layers, and of the empty ones that it leaves out. */
export function cacheSource({ name, origin, blob }: BlobPlace): LayerSource {
  const fetch: LayerSource['blob'] = async ({ digest }, signal) => (digest === EMPTY.descriptor.digest ? emptyBlob() : blob(digest, signal))
  return { name, trust: 'claimed', origin, pull: undefined, blob: fetch }
}

async function* emptyBlob(): AsyncGenerator<Uint8Array> {
  yield EMPTY_BLOB
}

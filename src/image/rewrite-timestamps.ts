import type { Digest } from '../base/digest.ts'
import type { BlobForm, Layer } from '../layers/types.ts'
import { StoreLayers } from '../layers/values.ts'
import type { BlobStore, LayerId, LayerInfo } from '../store/types.ts'
import { readTar } from '../tar/read.ts'
import type { TarItem } from '../tar/types.ts'
import { REWRITTEN_ANNOTATION } from './manifest.ts'

export interface RewriteOptions {
  /** Seconds. */
  readonly epoch: number
  /** diffIDs of the base image: its layers stay what they are. */
  readonly base: readonly Digest[]
  readonly blobs: BlobStore
  readonly form?: BlobForm | undefined
}

/**
 * L9: the layers with every time that is later than the epoch clamped to it, those of the base image excepted. They are made from the tars and not from
 * the directories, so that a layer that was altered in the store is noticed. What is learnt of them is not kept: another epoch gives other layers.
 */
export async function rewriteTimestamps(layers: readonly Layer[], options: RewriteOptions): Promise<Layer[]> {
  const { epoch, base, blobs, form } = options
  const known = new Map<LayerId, LayerInfo>()
  const byId = new Map(layers.map((layer) => [layer.id, layer]))
  const rewritten = new StoreLayers({
    blobs,
    snapshots: {
      info: async (id) => known.get(id),
      update: async (id, info) => void known.set(id, { ...known.get(id), ...info }),
    },
    changes: (id) => clamped((byId.get(id) as Layer).tar(), epoch),
  })
  const first = layers.findIndex((layer, index) => layer.diffId !== base[index])
  const kept = first === -1 ? layers : layers.slice(0, first)
  const ids = layers.slice(kept.length).map(({ id }) => id)
  const changed = await rewritten.openAll(ids, form === undefined ? {} : { form })
  return [...kept, ...changed.map((layer) => marked(layer, epoch))]
}

/** BuildKit's annotation of such a layer (util/converter), by which its next export knows that it need not do it again. */
function marked(layer: Layer, epoch: number): Layer {
  const annotations = { [REWRITTEN_ANNOTATION]: String(epoch) }
  return {
    id: layer.id,
    diffId: layer.diffId,
    tar: () => layer.tar(),
    blob: async (form) => {
      const blob = await layer.blob(form)
      return { ...blob, descriptor: { ...blob.descriptor, annotations }, open: () => blob.open() }
    },
  }
}

async function* clamped(tar: AsyncIterable<Uint8Array>, epoch: number): AsyncGenerator<TarItem> {
  for await (const { entry, content } of readTar(tar)) {
    yield entry.mtime < epoch ? { entry, content } : { entry: { ...entry, mtime: epoch, mtimeNanoseconds: 0 }, content }
  }
}

import type { Digest } from '../base/digest.ts'
import { SharedWork } from '../base/shared-work.ts'
import { Meter, type TarFacts } from '../layers/meter.ts'
import { ofEach, type Packed, type Packing, pack, packingOf, storedBlob, tarBlob, verified } from '../layers/packing.ts'
import type { BlobForm, Layer, LayerBlob } from '../layers/types.ts'
import type { BlobStore, Bytes } from '../store/types.ts'
import { readTar } from '../tar/read.ts'
import type { TarItem } from '../tar/types.ts'
import { writeTar } from '../tar/write.ts'
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
  const { base } = options
  const first = layers.findIndex((layer, index) => layer.diffId !== base[index])
  const kept = first === -1 ? layers : layers.slice(0, first)
  return [...kept, ...(await ofEach(layers.slice(kept.length), (layer) => rewritten(layer, options)))]
}

async function rewritten(layer: Layer, { epoch, blobs, form }: RewriteOptions): Promise<Layer> {
  const tar = (meter: Meter) => meter.pass(writeTar(clamped(layer.tar(), epoch)))
  const made = new SharedWork<string, Packed>()
  const packed = (packing: Packing) =>
    made.of(packing.name, () => {
      const meter = new Meter()
      return pack(tar(meter), meter, packing, blobs)
    })
  const wanted = form && packingOf(form)
  const facts = wanted === undefined ? await measured(tar) : (await packed(wanted)).facts
  const { diffId } = facts
  const { id, created } = layer
  const open = () => verified(id, writeTar(clamped(layer.tar(), epoch)), diffId)
  return {
    ...{ id, diffId, created, tar: open },
    async blob(other = {}) {
      const packing = packingOf(other)
      const blob = packing === undefined ? tarBlob(facts, open) : storedBlob((await packed(packing)).blob, blobs)
      return marked(blob, epoch)
    },
  }
}

async function measured(tar: (meter: Meter) => Bytes): Promise<TarFacts> {
  const meter = new Meter()
  for await (const _chunk of tar(meter));
  return meter.finish()
}

/** BuildKit's annotation of such a layer (util/converter), by which its next export knows that it need not do it again. */
function marked(blob: LayerBlob, epoch: number): LayerBlob {
  return { ...blob, descriptor: { ...blob.descriptor, annotations: { [REWRITTEN_ANNOTATION]: String(epoch) } } }
}

async function* clamped(tar: AsyncIterable<Uint8Array>, epoch: number): AsyncGenerator<TarItem> {
  for await (const { entry, content } of readTar(tar)) {
    yield entry.mtime < epoch ? { entry, content } : { entry: { ...entry, mtime: epoch, mtimeNanoseconds: 0 }, content }
  }
}

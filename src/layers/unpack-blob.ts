import type { Digest } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import type { Snapshotter } from '../snapshot/types.ts'
import { layerError } from '../store/store-error.ts'
import type { BlobStore, Bytes } from '../store/types.ts'
import { decompressLayer } from '../tar/layer-bytes.ts'
import { readTar } from '../tar/read.ts'
import { unpackLayer } from '../tree/unpack.ts'
import { layeredView } from '../tree/view.ts'
import { layerWriter } from '../tree/writer.ts'
import { limitHint } from '../values/limits.ts'
import type { Descriptor } from '../values/oci.ts'
import { setExactTimes, withExactTimes } from './exact-times.ts'
import { Meter } from './meter.ts'
import { offeredFacts } from './offers.ts'
import type { PackedLayer } from './types.ts'

export interface UnpackDeps {
  readonly snapshots: Pick<Snapshotter, 'commit' | 'directories' | 'discard' | 'prepare'>
  readonly blobs: BlobStore
  /** What a layer may unpack to. */
  readonly maxBytes: number
}

/** A blob that may still be on its way. */
export interface ArrivingBlob {
  readonly bytes: Bytes
  /** Resolves when all is there and as its digest says. */
  readonly fetched: Promise<void>
}

/**
 * Makes the layer's directory over its parent while the blob arrives. It counts when the blob is the one that was wanted and its tar the one that diffId names,
 * DIGEST_MISMATCH otherwise; what is wrong with the blob goes before what that made of its tar.
 */
export async function unpackBlob(
  layer: PackedLayer,
  { bytes, fetched }: ArrivingBlob,
  { snapshots, blobs, maxBytes }: UnpackDeps,
  signal: AbortSignal,
): Promise<true> {
  const { id, descriptor, parent, times } = layer
  const active = await snapshots.prepare(parent)
  try {
    const meter = new Meter()
    const tar = meter.pass(decompressLayer(bytes, descriptor.mediaType, { maxBytes }))
    const writer = layerWriter(active.upper, layeredView(active.lower))
    // A device node that a user namespace forbids stays in the layer's blob, which is what is exported; a RUN has its own /dev.
    const exact = times === undefined ? undefined : await blobs.read(times, maxBytes)
    const items = readTar(tar, { maxBytes })
    await unpackLayer(exact === undefined ? items : withExactTimes(items, exact), writer, { signal, onSkipped: () => {} })
    if (exact !== undefined) setExactTimes(writer, exact)
    await fetched
    checkDiffId((await meter.finish()).diffId, layer)
    await snapshots.commit(active, { id, info: offeredFacts(layer) })
    return true
  } catch (error) {
    await snapshots.discard(active)
    await fetched
    throw layerError(error)
  }
}

/** The same check without unpacking. */
export async function checkBlob({ descriptor, ...layer }: PackedLayer, { blobs, maxBytes }: Omit<UnpackDeps, 'snapshots'>): Promise<void> {
  const meter = new Meter()
  for await (const _chunk of meter.pass(decompressLayer(blobs.get(descriptor.digest), descriptor.mediaType, { maxBytes })));
  checkDiffId((await meter.finish()).diffId, { ...layer, descriptor })
}

/** A layer is refused before it is fetched when it is packed already larger than it may be unpacked. */
export function checkPackedSize({ digest, size }: Pick<Descriptor, 'digest' | 'size'>, maxBytes: number): void {
  if (size <= maxBytes) return
  throw new TbuildError('TAR_LIMIT', `layer ${digest} has ${size} bytes, more than ${maxBytes}, and is refused`, {
    hint: limitHint('unpack'),
  })
}

function checkDiffId(found: Digest, { descriptor, diffId }: PackedLayer): void {
  if (found === diffId) return
  throw new TbuildError('DIGEST_MISMATCH', `layer ${descriptor.digest} unpacks to ${found}, but the image's config says ${diffId}`, {
    hint: 'the image is broken or was tampered with',
  })
}

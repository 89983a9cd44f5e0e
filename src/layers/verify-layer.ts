import type { Digest } from '../base/digest.ts'
import { errorCode, isTbuildError } from '../base/errors.ts'
import type { Snapshotter } from '../snapshot/types.ts'
import type { Store } from '../store/store.ts'
import type { LayerId, LayerInfo, Snapshot } from '../store/types.ts'
import type { LayerVerdict } from '../store/verify.ts'
import { decompressLayer } from '../tar/layer-bytes.ts'
import { readTar } from '../tar/read.ts'
import { layerChanges } from '../tree/diff.ts'
import { sameLayer } from '../tree/same-layer.ts'
import { unpackLayer } from '../tree/unpack.ts'
import { layeredView } from '../tree/view.ts'
import { layerWriter } from '../tree/writer.ts'
import type { Descriptor } from '../values/oci.ts'
import { layerTar } from './layer-tar.ts'
import { Meter } from './meter.ts'
import { isOwnBlob } from './packing.ts'
import { areDirectories } from './states.ts'

/**
 * Whether a layer's directory is what it was. One that was made here is packed again and its diffID compared. One of a base image came from a tar
 * that others wrote: its blob is unpacked again beside it and the files are compared (not their times); where the blob is gone, nothing is known.
 */
export function layerChecker(store: Store, snapshots: Snapshotter): (id: LayerId, info: LayerInfo) => Promise<LayerVerdict> {
  return async (id, info) => {
    const { diffId, parent = [] } = info
    if (diffId === undefined || !areDirectories(await store.layers.claim(parent))) return { state: 'unknown' }
    try {
      const original = info.blobs?.find((blob) => !isOwnBlob(blob))
      if (original === undefined) return await compareTar(snapshots, id, parent, diffId)
      if ((await store.blobs.stat(original.digest)) === undefined) return { state: 'unknown' }
      return await compareFiles(store, snapshots, id, parent, original)
    } catch (error) {
      // A name or a type that no layer can have: somebody put it there.
      if (isTbuildError(error) || errorCode(error) !== undefined) return { state: 'changed', problem: (error as Error).message }
      throw error
    }
  }
}

async function compareTar(snapshots: Snapshotter, id: LayerId, parent: Snapshot, diffId: Digest): Promise<LayerVerdict> {
  const [lower, [upper = '']] = await Promise.all([snapshots.directories(parent), snapshots.directories([id])])
  const meter = new Meter()
  for await (const _chunk of meter.pass(layerTar(layerChanges(upper, layeredView(lower), { plain: true }))));
  const found = (await meter.finish()).diffId
  return found === diffId ? { state: 'same' } : { state: 'changed', problem: `its files were altered: they make ${found}, not ${diffId}` }
}

async function compareFiles(
  store: Store,
  snapshots: Snapshotter,
  id: LayerId,
  parent: Snapshot,
  original: Descriptor,
): Promise<LayerVerdict> {
  const active = await snapshots.prepare(parent)
  try {
    const tar = decompressLayer(store.blobs.get(original.digest), original.mediaType)
    // A device that cannot be made here could not be made then.
    await unpackLayer(readTar(tar), layerWriter(active.upper, layeredView(active.lower)), { onSkipped: () => {} })
    const same = await sameLayer(active.upper, store.layers.fs(id))
    return same ? { state: 'same' } : { state: 'changed', problem: `its files are not those of its blob ${original.digest}` }
  } finally {
    await snapshots.discard(active)
  }
}

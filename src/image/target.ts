import type { StageState } from '../graph/stage-state.ts'
import type { Snapshotter } from '../snapshot/types.ts'
import type { BlobStore, LayerId, LayerInfo, Snapshot } from '../store/types.ts'
import type { TarItem } from '../tar/types.ts'
import { layerChanges } from '../tree/diff.ts'
import { layeredView } from '../tree/view.ts'
import { assembleConfig, type HistoryLayer, toImage } from './assemble.ts'
import type { BaseLayers } from './base-layers.ts'
import { layerItems } from './layer-items.ts'
import { StoreLayers } from './layers.ts'
import type { BlobForm, Image, Layer } from './types.ts'

export interface TargetTools {
  readonly blobs: BlobStore
  readonly snapshots: Snapshotter
  readonly baseLayers: BaseLayers
  /** Of the blobs that an output will want, if one does: diffID and blob are then made in one pass. */
  readonly form?: BlobForm | undefined
  readonly warn: (message: string) => void
}

/** The image of a solved target: its layers as values, and the config that the instructions folded. */
export async function assembleTarget(target: StageState, snapshot: Snapshot, tools: TargetTools): Promise<Image> {
  const store = new StoreLayers({
    blobs: tools.blobs,
    snapshots: tools.snapshots,
    changes: (id) => changesOf(id, tools),
    fetch: async (id) => {
      await tools.baseLayers.fetchBlob(id)
    },
  })
  const layers: Layer[] = []
  const history: HistoryLayer[] = []
  for (const id of snapshot) {
    const info = await layerInfo(id, tools)
    const layer = await store.open(id, tools.form === undefined ? {} : { form: tools.form })
    layers.push(layer)
    history.push({ diffId: layer.diffId, ...(info.created === undefined ? {} : { created: info.created }) })
  }
  const { file, warnings } = assembleConfig({
    ...(target.base === undefined ? {} : { base: target.base }),
    config: target.config,
    ...(target.author === undefined ? {} : { author: target.author }),
    platform: target.platform,
    history: target.history,
    layers: history,
  })
  for (const warning of warnings) tools.warn(warning)
  return toImage(file, target.platform, layers)
}

/** A base layer that was never unpacked is known from its image; that is written down, so that later builds know it too. */
async function layerInfo(id: LayerId, { snapshots, baseLayers }: TargetTools): Promise<LayerInfo> {
  const info = (await snapshots.info(id)) ?? {}
  const base = baseLayers.describe(id)
  if (base === undefined || info.diffId !== undefined) return info
  const known = { diffId: base.diffId, blobs: [base.descriptor] }
  await snapshots.update(id, known)
  return { ...info, ...known }
}

/** The entries of a layer's tar: the difference to what it was made over, which is not always what it stands on now (--link). */
async function* changesOf(id: LayerId, { snapshots, baseLayers }: TargetTools): AsyncGenerator<TarItem> {
  const parent = (await snapshots.info(id))?.parent ?? []
  await baseLayers.ensure(parent)
  const [lower, [upper = '']] = await Promise.all([snapshots.directories(parent), snapshots.directories([id])])
  yield* layerItems(layerChanges(upper, layeredView(lower)))
}

import type { ImageOp, Vertex } from '../graph/op.ts'
import { historyList, type StageState } from '../graph/stage-state.ts'
import type { BaseLayers } from '../layers/base-layers.ts'
import { layerItems } from '../layers/layer-items.ts'
import type { BlobForm, Layer } from '../layers/types.ts'
import { StoreLayers } from '../layers/values.ts'
import type { Snapshotter } from '../snapshot/types.ts'
import type { BlobStore, LayerId, LayerInfo, Snapshot } from '../store/types.ts'
import type { TarItem } from '../tar/types.ts'
import { layerChanges } from '../tree/diff.ts'
import { layeredView } from '../tree/view.ts'
import { assembleConfig, type HistoryLayer, toImage } from './assemble.ts'
import { rewriteTimestamps } from './rewrite-timestamps.ts'
import type { Image } from './types.ts'

export interface LayerSources {
  readonly blobs: BlobStore
  readonly snapshots: Snapshotter
  readonly baseLayers: BaseLayers
  /** Ends fetches: layers are had only when somebody reads them, long after the steps. */
  readonly signal: AbortSignal
}

export interface TargetTools extends LayerSources {
  /** Of the blobs that an output will want, if one does: diffID and blob are then made in one pass. */
  readonly form?: BlobForm | undefined
  /** Seconds, of the output: what the config says was made later is said to be of then (I6). */
  readonly epoch?: number | undefined
  /** SOURCE_DATE_EPOCH of the build, seconds: it says when its steps were made, also where the output has another epoch or none. */
  readonly stepEpoch?: number | undefined
  /** Files of new layers, too (L9). */
  readonly rewriteTimestamps?: boolean
  readonly warn: (message: string) => void
}

/** The image of a solved target: its layers as values, and the config that the instructions folded. */
export async function assembleTarget(target: StageState, snapshot: Snapshot, tools: TargetTools): Promise<Image> {
  const store = storeLayers(tools)
  // A rewritten layer has blobs of its own: those of the layer as it is are not wanted.
  const form = tools.rewriteTimestamps === true ? undefined : tools.form
  const made = await store.openAll(snapshot, form === undefined ? {} : { form })
  const times: (string | undefined)[] = []
  for (const id of snapshot) times.push((await layerInfo(id, tools)).created)
  const layers = await rewritten(made, target, tools)
  const descriptions = descriptionsOf(target.root)
  const history = layers.map(({ diffId }, index): HistoryLayer => {
    const created = times[index]
    const description = descriptions.own[layers.length - 1 - index] ?? descriptions.base
    return { diffId, description, ...(created === undefined ? {} : { created }) }
  })
  const { file, warnings } = assembleConfig({
    ...(target.base === undefined ? {} : { base: target.base }),
    config: target.config,
    ...(target.author === undefined ? {} : { author: target.author }),
    platform: target.imagePlatform,
    history: historyList(target.history),
    layers: history,
    ...earliest(tools.epoch, tools.stepEpoch),
  })
  for (const warning of warnings) tools.warn(warning)
  return toImage(file, target.imagePlatform, layers)
}

/** BuildKit's text for a layer of which nothing else is known. */
const UNKNOWN = 'created by buildkit'

function pulledFrom({ name, digest, resolved = digest }: ImageOp): string {
  return `pulled from ${name.includes('@') ? name : `${name}@${resolved}`}`
}

/** Of the layers that steps made, the last first, and of those of the base. */
function descriptionsOf(root: Vertex | undefined): { readonly own: readonly string[]; readonly base: string } {
  const own: string[] = []
  let vertex = root
  for (; vertex !== undefined && vertex.op.kind !== 'image'; vertex = vertex.root) own.push(vertex.description ?? UNKNOWN)
  return { own, base: vertex?.op.kind === 'image' ? pulledFrom(vertex.op) : UNKNOWN }
}

function earliest(...epochs: (number | undefined)[]): { epoch?: number } {
  const known = epochs.filter((epoch) => epoch !== undefined)
  return known.length === 0 ? {} : { epoch: Math.min(...known) }
}

async function rewritten(layers: readonly Layer[], target: StageState, tools: TargetTools): Promise<readonly Layer[]> {
  if (tools.rewriteTimestamps !== true) return layers
  const { epoch, blobs, form } = tools
  if (epoch !== undefined) return rewriteTimestamps(layers, { epoch, blobs, form, base: target.base?.rootfs.diff_ids ?? [] })
  tools.warn('rewrite-timestamp changes nothing: there is no SOURCE_DATE_EPOCH')
  return layers
}

/** The layers of one assembling, or of one export of a cache, as values. */
export function storeLayers(tools: LayerSources): StoreLayers {
  const { blobs, snapshots, baseLayers, signal } = tools
  return new StoreLayers({
    blobs,
    snapshots: { info: (id) => layerInfo(id, tools), update: (id, info) => snapshots.update(id, info) },
    changes: (id) => changesOf(id, tools),
    async fetch(id, blob) {
      if (!baseLayers.cached.canFetch(id)) await baseLayers.fetchBlob(id, signal)
      else if (!(await baseLayers.cached.fetchBlob(id, blob, signal))) return (await blobs.stat(blob.digest)) !== undefined
      return true
    },
    isClaimed: (id) => baseLayers.cached.canFetch(id),
    origin: (id) => baseLayers.origin(id),
    maxBytes: baseLayers.maxBytes,
    signal,
  })
}

/**
 * What is known of a layer. A base layer that was never unpacked is known from its image; that is written down, so that later builds know it too. What an
 * imported cache says is not: it counts for this build, where the store does not know better.
 */
export async function layerInfo(id: LayerId, { blobs, snapshots, baseLayers }: LayerSources): Promise<LayerInfo> {
  const info = (await snapshots.info(id)) ?? {}
  const base = baseLayers.info(id)
  if (base !== undefined && (info.diffId === undefined || info.parent === undefined)) {
    await snapshots.update(id, base)
    return { ...info, ...base }
  }
  const claimed = base === undefined ? baseLayers.cached.info(id) : undefined
  if (claimed === undefined) return info
  for (const { digest } of info.blobs ?? []) if ((await blobs.stat(digest)) !== undefined) return info
  return { ...info, ...claimed }
}

/** The entries of a layer's tar: the difference to what it was made over, which is not always what it stands on now (--link). */
async function* changesOf(id: LayerId, { snapshots, baseLayers, signal }: LayerSources): AsyncGenerator<TarItem> {
  const parent = (await snapshots.info(id))?.parent ?? []
  await baseLayers.ensure(parent, signal)
  const [lower, [upper = '']] = await Promise.all([snapshots.directories(parent), snapshots.directories([id])])
  yield* layerItems(layerChanges(upper, layeredView(lower)))
}

import type { ImageOp, Vertex } from '../graph/op.ts'
import { historyList, type StageState } from '../graph/stage-state.ts'
import type { BlobForm, Layer, LayerCatalog } from '../layers/types.ts'
import type { BlobStore, Snapshot } from '../store/types.ts'
import { assembleConfig, type HistoryLayer, toImage } from './assemble.ts'
import { rewriteTimestamps } from './rewrite-timestamps.ts'
import type { Image } from './types.ts'

export interface TargetDeps {
  readonly layers: Pick<LayerCatalog, 'open'>
  /** Takes the layers that are rewritten. */
  readonly blobs: BlobStore
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
export async function assembleTarget(target: StageState, snapshot: Snapshot, tools: TargetDeps): Promise<Image> {
  // A rewritten layer has blobs of its own: those of the layer as it is are not wanted.
  const form = tools.rewriteTimestamps === true ? undefined : tools.form
  const made = await tools.layers.open(snapshot, form)
  const layers = await rewritten(made, target, tools)
  const descriptions = descriptionsOf(target.root)
  const history = layers.map(({ diffId, created }, index): HistoryLayer => {
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

async function rewritten(layers: readonly Layer[], target: StageState, tools: TargetDeps): Promise<readonly Layer[]> {
  if (tools.rewriteTimestamps !== true) return layers
  const { epoch, blobs, form } = tools
  if (epoch !== undefined) return rewriteTimestamps(layers, { epoch, blobs, form, base: target.base?.rootfs.diff_ids ?? [] })
  tools.warn('rewrite-timestamp changes nothing: there is no SOURCE_DATE_EPOCH')
  return layers
}

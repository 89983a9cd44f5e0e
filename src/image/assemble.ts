import type { Digest } from '../base/digest.ts'
import { sha256 } from '../base/digest.ts'
import type { Layer } from '../layers/types.ts'
import type { ContainerConfig, History, ImageConfigFile } from '../values/oci.ts'
import type { Platform } from '../values/platform.ts'
import { encodeConfig } from './config.ts'
import type { Image } from './types.ts'

/** History comment of a layer that no instruction accounts for (I1). */
const FILLER_COMMENT = 'buildkit.exporter.image.v0'

/** Member of a config that holds BuildKit's inline cache: that of a base image is not the cache of what is built on it. */
export const INLINE_CACHE = 'moby.buildkit.cache.v0'

/** A layer as history needs it. */
export interface HistoryLayer {
  readonly diffId: Digest
  /** RFC 3339; of the step that made it. */
  readonly created?: string
  /** Shown when no history entry is left for it. */
  readonly description?: string
}

export interface ConfigInputs {
  /** The config of the base image, when there is one. Its `created`, `config`, `history` and `rootfs` are not taken from here. */
  readonly base?: ImageConfigFile
  /** Folded over the instructions, beginning with the base's (I9). */
  readonly config: ContainerConfig
  readonly author?: string
  /** Of the target, not of the base (I11). */
  readonly platform: Platform
  /** The base's entries, then the steps', in order. `created` is filled in where it is missing. */
  readonly history: readonly History[]
  readonly layers: readonly HistoryLayer[]
  /** SOURCE_DATE_EPOCH, seconds: later times are clamped to it, but for entries of the base (I6). */
  readonly epoch?: number
}

/** The config of an image, and what had to be mended on the way. */
export function assembleConfig(inputs: ConfigInputs): { readonly file: ImageConfigFile; readonly warnings: readonly string[] } {
  const { base, platform, layers } = inputs
  const { history: matched, warnings } = matchHistory(inputs.history, layers)
  const timed = fillTimes(matched, layers)
  const history = inputs.epoch === undefined ? timed : clampTimes(timed, base?.history ?? [], inputs.epoch)
  const created = history.findLast((entry) => entry.created !== undefined)?.created
  const { created: _created, variant: _variant, 'os.version': _version, ...rest } = base ?? ({} as Partial<ImageConfigFile>)
  delete rest[INLINE_CACHE]
  const author = inputs.author ?? base?.author
  const file: ImageConfigFile = {
    ...rest,
    ...(created === undefined ? {} : { created }),
    ...(author === undefined ? {} : { author }),
    architecture: platform.architecture,
    os: platform.os,
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    ...(platform.osVersion === undefined ? {} : { 'os.version': platform.osVersion }),
    config: inputs.config,
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
    history,
  }
  return { file, warnings }
}

/** An image of a config and the layers that it lists. */
export function toImage(configFile: ImageConfigFile, platform: Platform, layers: readonly Layer[]): Image {
  const config = encodeConfig(configFile)
  return { platform, config, configDigest: sha256(config), configFile, layers }
}

/** I8: as many entries with a layer as there are layers. Too many: those that come last are marked empty. Too few: fillers are added. */
function matchHistory(history: readonly History[], layers: readonly HistoryLayer[]): { history: History[]; warnings: string[] } {
  const counted = history.filter((entry) => entry.empty_layer !== true).length
  if (counted > layers.length) {
    let seen = 0
    const mended = history.map((entry) => (entry.empty_layer !== true && ++seen > layers.length ? { ...entry, empty_layer: true } : entry))
    return {
      history: mended,
      warnings: [`history lists ${counted} layers and the image has ${layers.length}: the last entries were marked empty`],
    }
  }
  const fillers = layers.slice(counted).map(({ created, description }) => ({
    ...(created === undefined ? {} : { created }),
    ...(description === undefined ? {} : { created_by: description }),
    comment: FILLER_COMMENT,
  }))
  return { history: [...history, ...fillers], warnings: [] }
}

/** I6: an entry with a layer has its time; one without has the time before it, and the first of them that of the first new layer. */
function fillTimes(history: readonly History[], layers: readonly HistoryLayer[]): History[] {
  let index = 0
  const own = history.map((entry) => {
    const layer = entry.empty_layer === true ? undefined : layers[index++]
    const created = entry.created ?? layer?.created
    return created === undefined ? entry : { ...entry, created }
  })
  const firstGap = own.findIndex((entry) => entry.created === undefined)
  if (firstGap === -1) return own
  let time = own.slice(firstGap).find((entry) => entry.created !== undefined)?.created ?? own[firstGap - 1]?.created
  return own.map((entry, position) => {
    if (entry.created !== undefined && position > firstGap) time = entry.created
    return entry.created !== undefined || time === undefined ? entry : { ...entry, created: time }
  })
}

function clampTimes(history: readonly History[], base: readonly History[], epoch: number): History[] {
  const limit = new Date(epoch * 1000).toISOString().replace('.000Z', 'Z')
  const inherited = commonPrefix(history, base)
  return history.map((entry, index) => {
    if (index < inherited || (entry.created !== undefined && Date.parse(entry.created) <= epoch * 1000)) return entry
    return { ...entry, created: limit }
  })
}

function commonPrefix(history: readonly History[], base: readonly History[]): number {
  const keys = ['created', 'created_by', 'author', 'comment', 'empty_layer'] as const
  const differs = (entry: History, index: number) => base[index] === undefined || keys.some((key) => entry[key] !== base[index]?.[key])
  const first = history.findIndex(differs)
  return first === -1 ? history.length : first
}

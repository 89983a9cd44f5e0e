import { type Digest, isDigest } from '../../base/digest.ts'
import { TbuildError } from '../../base/errors.ts'

/** cache/remotecache/v1/spec.go: layers and records that name each other by position. */
export interface CacheConfig {
  readonly layers: readonly ConfigLayer[]
  readonly records: readonly ConfigRecord[]
}

interface ConfigLayer {
  readonly blob: Digest
  /** The layer below, or -1. */
  readonly parent: number
  /** RFC 3339; where the blob is the layer of several steps. */
  readonly created?: string
}

export interface ConfigRecord {
  readonly digest: Digest
  /** For each input of the op the records that stand for it. */
  readonly inputs: readonly (readonly ConfigLink[])[]
  /** What the op made: the topmost layer of each result. */
  readonly results: readonly ConfigResult[]
}

interface ConfigLink {
  /** '' or a digest. */
  readonly selector: string
  readonly link: number
}

export interface ConfigResult {
  /** From bottom to top: positions of layers. Empty where the layers are not in this cache. */
  readonly chain: readonly number[]
  /** RFC 3339. */
  readonly createdAt: string
}

export const CONFIG_MEDIA_TYPE = 'application/vnd.buildkit.cacheconfig.v0'

/** Bytes of the JSON, records, links of one input, layers in one chain. */
export const CACHE_CONFIG_LIMIT = 16 * 1024 * 1024
const COUNT = 20_000
const LINKS = 4096
const DEPTH = 512

type Members = Readonly<Record<string, unknown>>

/** Everything is checked, loops of records and layers too. Throws CACHE_INVALID. */
export function parseCacheConfig(json: Uint8Array): CacheConfig {
  const { layers, records } = members(parse(json, CACHE_CONFIG_LIMIT), 'the cache')
  const known = layerList(layers)
  return { layers: known, records: checkRecords(records, chainsOf(known)) }
}

/** The records of an inline cache: a result names a layer of the image and all below it. */
export function parseInlineRecords(json: Uint8Array, layers: number): readonly ConfigRecord[] {
  const chainOf = onceEach(layers, (position) => Array.from({ length: position + 1 }, (_, at) => at))
  return checkRecords(parse(json, CACHE_CONFIG_LIMIT), chainOf)
}

function parse(json: Uint8Array, limit: number): unknown {
  if (json.length > limit) throw invalid(`it has more than ${limit} bytes of records`)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json))
  } catch {
    throw invalid('its records are not JSON')
  }
}

function layerList(value: unknown): ConfigLayer[] {
  const found = list(value, 'its layers')
  return found.map((layer) => {
    const { blob, parent, annotations } = members(layer, 'a layer')
    const { createdAt } = members(annotations ?? {}, 'the annotations of a layer')
    if (!isDigest(blob)) throw invalid('the blob of a layer is no digest')
    const created = createdAt === undefined ? {} : { created: time(createdAt) }
    return { blob, parent: parent === -1 ? -1 : bounded(parent ?? 0, found.length), ...created }
  })
}

type ChainOf = (position: unknown) => readonly number[]

/** A layer's chain, bottom first. */
function chainsOf(layers: readonly ConfigLayer[]): ChainOf {
  return onceEach(layers.length, (position) => {
    const chain: number[] = []
    for (let at = position; at !== -1; at = (layers[at] as ConfigLayer).parent) {
      if (chain.length === DEPTH) throw invalid('its layers stand on each other in a circle, or are too many')
      chain.push(at)
    }
    return chain.reverse()
  })
}

/** A result takes a dozen bytes to write and may name hundreds of layers: those of one chain share it. */
function onceEach(count: number, chainAt: (position: number) => readonly number[]): ChainOf {
  const chains: (readonly number[])[] = []
  return (value) => {
    const position = bounded(value, count)
    chains[position] ??= chainAt(position)
    return chains[position]
  }
}

function checkRecords(value: unknown, chainOf: ChainOf): ConfigRecord[] {
  const found = list(value, 'its records')
  const records = found.map((record): ConfigRecord => {
    const { digest, inputs, layers, chains } = members(record, 'a record')
    if (!isDigest(digest)) throw invalid('the digest of a record is none')
    const results = [...list(layers, 'the layers of a record').map((result) => checkResult(result, chainOf)), ...chained(chains, chainOf)]
    const links = list(inputs, 'the inputs of a record').map((input) => checkLinks(input, found.length))
    return { digest, inputs: links, results }
  })
  checkLoops(records)
  return records
}

function checkResult(value: unknown, chainOf: ChainOf): ConfigResult {
  const { layer, createdAt } = members(value, 'a result')
  return { chain: chainOf(layer), createdAt: time(createdAt) }
}

/** Layers that are put together without standing on each other (a merge). */
function chained(value: unknown, chainOf: ChainOf): ConfigResult[] {
  return list(value, 'the chains of a record').map((result) => {
    const { layers, createdAt } = members(result, 'a result')
    const positions = list(layers, 'the layers of a chain')
    if (positions.length > DEPTH) throw invalid('a chain has too many layers')
    return { chain: positions.map((position) => chainOf(position).at(-1) as number), createdAt: time(createdAt) }
  })
}

function checkLinks(value: unknown, count: number): ConfigLink[] {
  const links = list(value, 'an input')
  if (links.length > LINKS) throw invalid('an input has too many links')
  return links.map((entry) => {
    const { selector = '', link } = members(entry, 'a link')
    if (selector !== '' && !isDigest(selector)) throw invalid('the selector of a link is no digest')
    return { selector, link: bounded(link, count) }
  })
}

/** A record that stands for an input of itself would be looked for without end. */
function checkLoops(records: readonly ConfigRecord[]): void {
  const state = new Uint8Array(records.length)
  const [open, done] = [1, 2]
  for (const start of records.keys()) {
    const path = [start]
    while (path.length > 0) {
      const at = path.at(-1) as number
      if (state[at] === open || state[at] === done) {
        state[at] = done
        path.pop()
        continue
      }
      state[at] = open
      for (const { link } of (records[at] as ConfigRecord).inputs.flat()) {
        if (state[link] === open) throw invalid('its records stand for inputs of themselves')
        if (state[link] !== done) path.push(link)
      }
    }
  }
}

function members(value: unknown, what: string): Members {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw invalid(`${what} is no object`)
  return value as Members
}

/** Go leaves an empty list out, or writes null. */
function list(value: unknown, what: string): unknown[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value) || value.length > COUNT) throw invalid(`${what} are no list of sane length`)
  return value
}

function bounded(value: unknown, count: number): number {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) < count) return value as number
  throw invalid('a position is outside of its list')
}

/** RFC 3339, as Go reads it: with an offset, too. */
export function isTime(value: unknown): value is string {
  return typeof value === 'string' && RFC_3339.test(value) && !Number.isNaN(Date.parse(value))
}

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/

function time(value: unknown): string {
  if (value === undefined) return '0001-01-01T00:00:00Z'
  if (isTime(value)) return value
  throw invalid('a time is none')
}

function invalid(problem: string): TbuildError {
  return new TbuildError('CACHE_INVALID', problem)
}

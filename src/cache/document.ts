import { canonicalJson } from '../base/canonical-json.ts'
import { type Digest, hexOf, isDigest, sha256 } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import type { ContentSelector } from '../ops/content.ts'
import type { KeyPart, LayerId } from '../store/types.ts'

/** Media type of the config blob, and the artifactType of the manifest. The manifest's layers are the layers' blobs. */
export const CACHE_MEDIA_TYPE = 'application/vnd.tbuild.cache.v1+json'

/** What a build can take from another: layers are named by their position, everything else by digest. */
export interface CacheDocument {
  readonly version: 1
  readonly layers: readonly DocumentLayer[]
  readonly records: readonly DocumentRecord[]
  readonly contents: readonly DocumentContent[]
}

export interface DocumentLayer {
  /** Absent where nobody has made the tar: then `name` stands for the layer. */
  readonly diffId?: Digest
  /** 64 hex digits. */
  readonly name?: string
  /** The layers that its tar is the difference to, bottom first: earlier positions. */
  readonly parent: readonly number[]
  /** ISO time; a base layer has none. */
  readonly created?: string
  /** Its blob among the manifest's layers. Without, its record answers only for its key, or an image has it. */
  readonly blob?: Digest
}

export interface DocumentRecord {
  readonly key: Digest
  /** Not in an inline cache: whoever gets the image need not see the build arguments of its other stages. */
  readonly parts?: readonly KeyPart[]
  readonly step: string
  readonly name?: string
  readonly place?: string
  readonly created: string
  readonly layers: readonly number[]
}

/** The digest of files in a root file system, so that the key of a COPY --from is known without them. */
export interface DocumentContent {
  readonly layers: readonly number[]
  readonly selector: ContentSelector
  readonly digest: Digest
}

/** Of the JSON. Bytes. */
export const DOCUMENT_LIMIT = 8 * 1024 * 1024
const COUNT = 10_000
const TEXT = 8192

type Members = Readonly<Record<string, unknown>>

/** Everything is checked: CACHE_INVALID when the text is not a document that a build wrote. */
export function parseDocument(bytes: Uint8Array): CacheDocument {
  if (bytes.length > DOCUMENT_LIMIT) throw invalid(`it has more than ${DOCUMENT_LIMIT} bytes`)
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw invalid('it is not JSON')
  }
  return checkDocument(value)
}

export function checkDocument(value: unknown): CacheDocument {
  const { version, layers, records, contents } = members(value, 'the document')
  if (version !== 1) throw invalid(`its version is ${JSON.stringify(version)?.slice(0, 20)}, and this tbuild reads 1`)
  const known = list(layers, 'layers').map(checkLayer)
  return {
    version: 1,
    layers: known,
    records: list(records, 'records').map((record) => checkRecord(record, known.length)),
    contents: list(contents, 'contents').map((content) => checkContent(content, known.length)),
  }
}

function checkLayer(value: unknown, position: number): DocumentLayer {
  const { diffId, name, parent, created, blob } = members(value, 'a layer')
  if (diffId !== undefined && !isDigest(diffId)) throw invalid('a diffId is no digest')
  if (blob !== undefined && !isDigest(blob)) throw invalid('a blob is no digest')
  if (name !== undefined && !(typeof name === 'string' && /^[0-9a-f]{64}$/.test(name))) throw invalid('a layer has a bad name')
  if (diffId === undefined && (name === undefined || blob !== undefined)) throw invalid('a layer has no diffId')
  return {
    ...(diffId === undefined ? {} : { diffId }),
    ...(name === undefined ? {} : { name }),
    parent: positions(parent, position),
    ...(created === undefined ? {} : { created: time(created) }),
    ...(blob === undefined ? {} : { blob }),
  }
}

function checkRecord(value: unknown, count: number): DocumentRecord {
  const { key, parts, step, name, place, created, layers } = members(value, 'a record')
  if (!isDigest(key)) throw invalid('a key is no digest')
  return {
    key,
    ...(parts === undefined ? {} : { parts: checkParts(parts, key) }),
    step: text(step, 'step'),
    ...(name === undefined ? {} : { name: text(name, 'name') }),
    ...(place === undefined ? {} : { place: text(place, 'place') }),
    created: time(created),
    layers: positions(layers, count),
  }
}

/** A key is the digest of its parts (solve/key.ts). */
function checkParts(value: unknown, key: Digest): KeyPart[] {
  const parts = list(value, 'parts').map((part): KeyPart => {
    const { name, value: content } = members(part, 'a part')
    if (content === undefined) throw invalid('a part has no value')
    return { name: text(name, 'name'), value: content as KeyPart['value'] }
  })
  const digest = sha256(canonicalJson(parts.map(({ name, value: content }) => [name, content])))
  if (digest !== key) throw invalid(`the key ${key} is not that of its parts`)
  return parts
}

function checkContent(value: unknown, count: number): DocumentContent {
  const { layers, selector, digest } = members(value, 'a content')
  const { path, parents, exclude, wildcards } = members(selector, 'a selector')
  if (!isDigest(digest)) throw invalid('the digest of a content is none')
  if (typeof parents !== 'boolean' || typeof wildcards !== 'boolean') throw invalid('a selector is wrong')
  const patterns = list(exclude, 'exclude').map((pattern) => text(pattern, 'exclude'))
  return { layers: positions(layers, count), selector: { path: text(path, 'path'), parents, exclude: patterns, wildcards }, digest }
}

/** The same one may stand twice: two COPY --link of the same files are one layer. */
function positions(value: unknown, below: number): number[] {
  const found = list(value, 'positions')
  const valid = found.every((position) => Number.isInteger(position) && (position as number) >= 0 && (position as number) < below)
  if (!valid) throw invalid('a layer stands on one that is not before it')
  return found as number[]
}

function members(value: unknown, what: string): Members {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw invalid(`${what} is no object`)
  return value as Members
}

function list(value: unknown, what: string): unknown[] {
  if (!Array.isArray(value) || value.length > COUNT) throw invalid(`${what} is no list of sane length`)
  return value
}

function text(value: unknown, what: string): string {
  if (typeof value !== 'string' || value.length > TEXT) throw invalid(`${what} is no text of sane length`)
  return value
}

function time(value: unknown): string {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/.test(value) || Number.isNaN(Date.parse(value)))
    throw invalid('a time is none')
  return value
}

function invalid(problem: string): TbuildError {
  return new TbuildError('CACHE_INVALID', problem)
}

/**
 * The ids of a document's layers in the store. They follow from what the layer is said to be, never from what the cache calls it, so that no cache can name
 * a layer of the store, of an image or of another content: a base layer has its chainID and is had from its image, a layer with a blob has an id that no other
 * kind of layer can have, and is compared with its diffID before it counts.
 */
export function layerIds({ layers }: CacheDocument): LayerId[] {
  const ids: LayerId[] = []
  const isChain: boolean[] = []
  for (const [index, { diffId, name, parent, created, blob }] of layers.entries()) {
    const below = parent.map((position) => ids[position] as LayerId)
    const last = parent.at(-1)
    const stands = last === undefined || (isChain[last] === true && sameList(layers[last]?.parent ?? [], parent.slice(0, -1)))
    isChain[index] = diffId !== undefined && blob === undefined && created === undefined && stands
    if (diffId === undefined) ids.push(idOf(['named layer', name ?? '']))
    else if (!isChain[index]) ids.push(idOf(['cached layer', below, diffId, created ?? null]))
    else ids.push(last === undefined ? (hexOf(diffId) as LayerId) : (hexOf(sha256(`sha256:${ids[last]} ${diffId}`)) as LayerId))
  }
  return ids
}

function idOf(content: Parameters<typeof canonicalJson>[0]): LayerId {
  return hexOf(sha256(canonicalJson(content))) as LayerId
}

function sameList(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index])
}

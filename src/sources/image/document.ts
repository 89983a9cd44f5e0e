import { isDigest } from '../../base/digest.ts'
import { printable } from '../../http/redact.ts'
import { type Descriptor, type Index, LAYER_TYPES, type Manifest, MediaType } from '../../values/oci.ts'
import { invalid, type Members, membersOf, parseJson } from './json-object.ts'

/** A manifest or an index, told apart without doubt (CVE-2021-41190). */
export type ImageDocument = { readonly kind: 'index'; readonly index: Index } | { readonly kind: 'manifest'; readonly manifest: Manifest }

/** containerd's MaxManifestSize; the distribution spec asks for at least 4 MiB. */
export const MANIFEST_LIMIT = 4 * 1024 * 1024 + 194 * 1024
export const CONFIG_LIMIT = 8 * 1024 * 1024
const INDEX_COUNT = 10_000
const LAYER_COUNT = 1024

export const INDEX_TYPES: ReadonlySet<string> = new Set([MediaType.ociIndex, MediaType.dockerIndex])
export const MANIFEST_TYPES: ReadonlySet<string> = new Set([MediaType.ociManifest, MediaType.dockerManifest])
const CONFIG_TYPES: ReadonlySet<string> = new Set([MediaType.ociConfig, MediaType.dockerConfig, 'application/octet-stream'])

/** `what` names the document in messages; `contentType` is the server's, which must agree with the document's own mediaType. */
export function parseImageDocument(bytes: Uint8Array, what: string, contentType?: string): ImageDocument {
  const members = parseJson(bytes, what)
  refuseSchema1(members, what)
  const has = (name: string) => members.get(name) !== undefined && members.get(name) !== null
  const looksIndex = has('manifests')
  const looksManifest = has('layers') || has('config')
  if (looksIndex && looksManifest) throw invalid(what, 'both a manifest and an index')
  if (!looksIndex && !looksManifest) throw invalid(what, 'neither a manifest nor an index')
  const declared = [members.get('mediaType'), contentType?.split(';')[0]?.trim()]
  for (const type of declared) checkType(type, looksIndex, what)
  if (typeof declared[0] === 'string' && isImageType(declared[1]) && declared[0] !== declared[1]) {
    throw invalid(what, `its mediaType is ${printable(declared[0])} and the server says ${printable(String(declared[1]))}`)
  }
  return looksIndex ? { kind: 'index', index: toIndex(members, what) } : { kind: 'manifest', manifest: toManifest(members, what) }
}

function isImageType(type: unknown): boolean {
  return typeof type === 'string' && (INDEX_TYPES.has(type) || MANIFEST_TYPES.has(type))
}

function refuseSchema1(members: Members, what: string): void {
  if (members.get('schemaVersion') === 1 || members.get('fsLayers') !== undefined) {
    throw invalid(
      what,
      'a Docker schema 1 manifest, which is not supported',
      'push the image again with a current tool; schema 1 was given up in 2019',
    )
  }
  if (members.get('schemaVersion') !== 2) throw invalid(what, 'schemaVersion is not 2')
}

/** A type of the other kind is a lie; an absent one, or a server's application/json, says nothing. */
function checkType(type: unknown, isIndex: boolean, what: string): void {
  if (type === undefined || !isImageType(type)) {
    if (typeof type === 'string' && type.startsWith('application/vnd.')) throw invalid(what, `unsupported media type ${printable(type)}`)
    return
  }
  if (INDEX_TYPES.has(type as string) !== isIndex) throw invalid(what, `the media type ${printable(String(type))} does not fit the content`)
}

function toIndex(members: Members, what: string): Index {
  const manifests = members.get('manifests')
  if (!Array.isArray(manifests) || manifests.length > INDEX_COUNT) throw invalid(what, 'its manifests are not a list of sane length')
  return { schemaVersion: 2, ...mediaTypeOf(members), manifests: manifests.map((entry) => toDescriptor(entry, what)) }
}

function toManifest(members: Members, what: string): Manifest {
  const config = toDescriptor(members.get('config'), what)
  if (!CONFIG_TYPES.has(config.mediaType)) {
    throw invalid(
      what,
      `not a container image: its config is ${printable(config.mediaType)}`,
      'name an image, not another kind of artefact',
    )
  }
  const list = members.get('layers') ?? []
  if (!Array.isArray(list) || list.length > LAYER_COUNT) throw invalid(what, 'its layers are not a list of sane length')
  const layers = list.map((entry) => toDescriptor(entry, what))
  for (const { mediaType } of layers) {
    if (!LAYER_TYPES.has(mediaType)) throw invalid(what, `unsupported layer media type ${printable(mediaType)}`)
  }
  return { schemaVersion: 2, ...mediaTypeOf(members), config, layers }
}

function mediaTypeOf(members: Members): { mediaType?: string } {
  const type = members.get('mediaType')
  return typeof type === 'string' ? { mediaType: type } : {}
}

/** CVE-2024-3727: a digest is checked before it becomes a path or URL. `urls` (CVE-2020-15157: hosts of the image's own choice) and `data` are not taken over. */
export function toDescriptor(value: unknown, what: string): Descriptor {
  const members = membersOf(value)
  const [mediaType, digest, size] = ['mediaType', 'digest', 'size'].map((name) => members?.get(name))
  if (typeof mediaType !== 'string' || mediaType === '') throw invalid(what, 'a descriptor has no mediaType')
  if (!isDigest(digest)) throw invalid(what, `a descriptor has the digest ${printable(JSON.stringify(digest) ?? 'undefined', 100)}`)
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw invalid(what, `${digest} has no sane size`)
  return { mediaType, digest, size, ...annotationsOf(members), ...platformOf(members) }
}

function annotationsOf(members: Members | undefined): Pick<Descriptor, 'annotations'> {
  const entries = [...(membersOf(members?.get('annotations')) ?? [])].filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  )
  return entries.length === 0 ? {} : { annotations: Object.fromEntries(entries) }
}

function platformOf(members: Members | undefined): Pick<Descriptor, 'platform'> {
  const platform = membersOf(members?.get('platform'))
  const [os, architecture, variant, version] = ['os', 'architecture', 'variant', 'os.version'].map((name) => platform?.get(name))
  if (typeof os !== 'string' || typeof architecture !== 'string') return {}
  return {
    platform: {
      os,
      architecture,
      ...(typeof variant === 'string' && variant !== '' ? { variant } : {}),
      ...(typeof version === 'string' && version !== '' ? { 'os.version': version } : {}),
    },
  }
}

import { parseDigest } from '../../base/digest.ts'
import { withSuggestion } from '../../base/suggest.ts'
import type { CacheExportMode, CacheExportSpec, CacheImportSpec } from '../../build-options.ts'
import { isPinned, parseImageReference } from '../../values/image-reference.ts'
import { unsupported, usage } from '../usage.ts'
import { csvFields, csvPairs } from './csv.ts'
import { type Pairs, takeCompression, takeFlag, takeValue } from './pairs.ts'

/** Types that buildx has besides. */
const OTHER_TYPES = ['gha', 's3', 'azblob']

/** Keys by type; for suggestions, since each reader takes what it knows. */
const IMPORT_KEYS: Readonly<Record<CacheImportSpec['type'], readonly string[]>> = {
  local: ['src', 'tag', 'digest'],
  registry: ['ref', 'registry.insecure'],
}
const MODE_KEYS = ['mode', 'ignore-error']
const FORM_KEYS = ['image-manifest', 'oci-mediatypes', 'compression', 'compression-level', 'force-compression']
const EXPORT_KEYS: Readonly<Record<CacheExportSpec['type'], readonly string[]>> = {
  local: ['dest', 'tag', ...MODE_KEYS, ...FORM_KEYS],
  registry: ['ref', 'registry.insecure', ...MODE_KEYS, ...FORM_KEYS],
  inline: MODE_KEYS,
}

/** Keys of buildx that are not carried out. */
const REFUSED = ['reset']

/** `--cache-from`: `type=registry,ref=REF`, `type=local,src=DIR`, or bare REFs. */
export function cacheFrom(text: string): CacheImportSpec[] {
  const bare = references(text, '--cache-from')
  if (bare !== undefined) return bare.map((ref) => ({ type: 'registry', ref: reference(ref) }))
  const { type, pairs } = typed(text, '--cache-from')
  const spec = importOf(type, pairs)
  refuse(pairs, '--cache-from', spec.type, IMPORT_KEYS)
  return [spec]
}

/** What has no `=` at all is a list of references (buildx). */
function references(text: string, option: string): string[] | undefined {
  if (text.includes('=')) return undefined
  const fields = csvFields(text, option)
  if (fields.includes('')) throw usage(`invalid ${option} ${JSON.stringify(text)}: a reference is empty`)
  return fields
}

function typed(text: string, option: string): { type: string; pairs: Pairs } {
  const pairs = csvPairs(text, option)
  const type = takeValue(pairs, 'type')
  if (!type) throw usage(`invalid ${option} ${JSON.stringify(text)}: type is required`, 'write type=registry,ref=REF')
  return { type, pairs }
}

function importOf(type: string, pairs: Pairs): CacheImportSpec {
  if (type === 'local') {
    const digest = takeValue(pairs, 'digest')
    const place = { src: needed(pairs, 'src', '--cache-from'), ...tag(pairs) }
    return { type, ...place, ...(digest ? { digest: parseDigest(digest) } : {}) }
  }
  if (type === 'registry') return { type, ref: reference(needed(pairs, 'ref', '--cache-from')), ...insecure(pairs, '--cache-from') }
  throw unknownType(type, '--cache-from', ['registry', 'local'])
}

/** `--cache-to`: `type=registry,ref=REF`, `type=local,dest=DIR` or `type=inline`; bare REFs are a registry's. */
export function cacheTo(text: string): CacheExportSpec[] {
  const bare = references(text, '--cache-to')
  if (bare !== undefined) return bare.map((ref) => ({ type: 'registry', ref: writable(ref) }))
  const { type, pairs } = typed(text, '--cache-to')
  const spec = exportOf(type, pairs)
  refuse(pairs, '--cache-to', spec.type, EXPORT_KEYS)
  return [spec]
}

function exportOf(type: string, pairs: Pairs): CacheExportSpec {
  const mode = exportMode(pairs)
  if (type === 'inline') {
    if (mode.mode === 'max') throw unsupported('mode=max of --cache-to type=inline', 'an image has the layers of its own steps only')
    return { type }
  }
  const how = { ...mode, ...exportForm(pairs) }
  if (type === 'local') return { type, dest: needed(pairs, 'dest', '--cache-to'), ...tag(pairs), ...how }
  if (type === 'registry') return { type, ref: writable(needed(pairs, 'ref', '--cache-to')), ...insecure(pairs, '--cache-to'), ...how }
  throw unknownType(type, '--cache-to', ['registry', 'local', 'inline'])
}

function exportMode(pairs: Pairs): CacheExportMode {
  const mode = takeValue(pairs, 'mode')
  if (mode && mode !== 'min' && mode !== 'max') throw usage(`invalid --cache-to mode ${JSON.stringify(mode)}: expected min or max`)
  const ignore = takeFlag(pairs, 'ignore-error', '--cache-to', false)
  return { ...(mode === 'min' || mode === 'max' ? { mode } : {}), ...(ignore === true ? { ignoreError: true } : {}) }
}

function exportForm(pairs: Pairs): CacheExportMode {
  const imageManifest = takeFlag(pairs, 'image-manifest', '--cache-to')
  const ociMediaTypes = takeFlag(pairs, 'oci-mediatypes', '--cache-to')
  if (imageManifest === true && ociMediaTypes === false) throw usage('--cache-to: image-manifest=true needs oci-mediatypes=true')
  return {
    ...(imageManifest === undefined ? {} : { imageManifest }),
    ...(ociMediaTypes === undefined ? {} : { ociMediaTypes }),
    ...takeCompression(pairs, '--cache-to'),
  }
}

function tag(pairs: Pairs): { tag?: string } {
  const value = takeValue(pairs, 'tag')
  return value ? { tag: value } : {}
}

function insecure(pairs: Pairs, option: string): { insecure?: boolean } {
  const value = takeFlag(pairs, 'registry.insecure', option)
  return value === undefined ? {} : { insecure: value }
}

function reference(text: string): string {
  parseImageReference(text)
  return text
}

function writable(text: string): string {
  if (!isPinned(parseImageReference(text))) return text
  throw usage(`--cache-to cannot write to a digest: ${JSON.stringify(text)}`, 'name a tag')
}

function needed(pairs: Pairs, key: string, option: string): string {
  const value = takeValue(pairs, key)
  if (value) return value
  throw usage(`${option} needs ${key}=${key === 'ref' ? 'REF' : 'DIR'}`)
}

function refuse<T extends string>(pairs: Pairs, option: string, type: T, keys: Readonly<Record<T, readonly string[]>>): void {
  for (const key of pairs.keys()) {
    if (REFUSED.includes(key)) throw unsupported(`key ${key} of ${option} type=${type}`)
    throw usage(withSuggestion(`unknown key ${JSON.stringify(key)} of ${option} type=${type}`, key, keys[type]))
  }
}

function unknownType(type: string, option: string, types: readonly string[]): Error {
  if (OTHER_TYPES.includes(type)) return unsupported(`${option} type=${type}`, `types are ${types.join(', ')}`)
  return usage(withSuggestion(`unknown ${option} type ${JSON.stringify(type)}`, type, types), `types are ${types.join(', ')}`)
}

import { parseImageReference } from '../../base/image-reference.ts'
import { withSuggestion } from '../../base/suggest.ts'
import type { CacheExportMode, CacheExportSpec, CacheImportSpec } from '../../build-options.ts'
import { unsupported, usage } from '../usage.ts'
import { csvFields, csvPairs } from './csv.ts'

type Pairs = Map<string, string | undefined>

/** Types that buildx has besides. */
const OTHER_TYPES = ['gha', 's3', 'azblob']

/** Keys that buildx has and that are not carried out, with the value (if any) that asks for nothing else than what is done. */
const REFUSED: Readonly<Record<string, string | undefined>> = {
  compression: 'gzip',
  'compression-level': undefined,
  digest: undefined,
  'force-compression': 'false',
  'image-manifest': 'true',
  'oci-mediatypes': 'true',
  'registry.insecure': 'false',
  reset: undefined,
  tag: undefined,
}

/** `--cache-from`: `type=registry,ref=REF`, `type=local,src=DIR`, or a bare REF. */
export function cacheFrom(text: string): CacheImportSpec {
  const fields = csvFields(text, '--cache-from')
  if (fields.length === 1 && !fields[0]?.includes('=')) return { type: 'registry', ref: reference(text) }
  const pairs = csvPairs(text, '--cache-from')
  const type = take(pairs, 'type', '--cache-from') ?? 'registry'
  const spec = importOf(type, pairs)
  refuse(pairs, '--cache-from', type, type === 'local' ? ['src'] : ['ref'])
  return spec
}

function importOf(type: string, pairs: Pairs): CacheImportSpec {
  if (type === 'local') return { type, src: needed(pairs, 'src', '--cache-from') }
  if (type === 'registry') return { type, ref: reference(needed(pairs, 'ref', '--cache-from')) }
  throw unknownType(type, '--cache-from', ['registry', 'local'])
}

/** `--cache-to`: `type=registry,ref=REF`, `type=local,dest=DIR` or `type=inline`; a bare REF is a registry's. */
export function cacheTo(text: string): CacheExportSpec {
  const fields = csvFields(text, '--cache-to')
  if (fields.length === 1 && !fields[0]?.includes('=')) return { type: 'registry', ref: writable(text) }
  const pairs = csvPairs(text, '--cache-to')
  const type = take(pairs, 'type', '--cache-to') ?? 'registry'
  const spec = exportOf(type, pairs)
  refuse(pairs, '--cache-to', type, type === 'local' ? ['dest', 'mode', 'ignore-error'] : ['ref', 'mode', 'ignore-error'])
  return spec
}

function exportOf(type: string, pairs: Pairs): CacheExportSpec {
  const how = exportMode(pairs)
  if (type === 'local') return { type, dest: needed(pairs, 'dest', '--cache-to'), ...how }
  if (type === 'registry') return { type, ref: writable(needed(pairs, 'ref', '--cache-to')), ...how }
  if (type !== 'inline') throw unknownType(type, '--cache-to', ['registry', 'local', 'inline'])
  if (how.mode === 'max') throw unsupported('mode=max of --cache-to type=inline', 'an image has the layers of its own steps only')
  return { type }
}

function exportMode(pairs: Pairs): CacheExportMode {
  const mode = take(pairs, 'mode', '--cache-to')
  if (mode !== undefined && mode !== 'min' && mode !== 'max')
    throw usage(`invalid --cache-to mode ${JSON.stringify(mode)}: expected min or max`)
  const ignore = take(pairs, 'ignore-error', '--cache-to')
  if (ignore !== undefined && ignore !== 'true' && ignore !== 'false') throw usage('--cache-to: ignore-error must be true or false')
  return { ...(mode === undefined ? {} : { mode }), ...(ignore === 'true' ? { ignoreError: true } : {}) }
}

function reference(text: string): string {
  parseImageReference(text)
  return text
}

function writable(text: string): string {
  if (parseImageReference(text).digest === undefined) return text
  throw usage(`--cache-to cannot write to a digest: ${JSON.stringify(text)}`, 'name a tag')
}

function needed(pairs: Pairs, key: string, option: string): string {
  const value = take(pairs, key, option)
  if (value) return value
  throw usage(`${option} needs ${key}=${key === 'ref' ? 'REF' : 'DIR'}`)
}

function take(pairs: Pairs, key: string, option: string): string | undefined {
  const value = pairs.get(key)
  if (pairs.has(key) && value === undefined) throw usage(`${option}: ${key} needs a value`, `write ${key}=VALUE`)
  pairs.delete(key)
  return value
}

function refuse(pairs: Pairs, option: string, type: string, keys: readonly string[]): void {
  for (const [key, value] of pairs) {
    if (key in REFUSED && REFUSED[key] !== undefined && REFUSED[key] === value) continue
    if (key in REFUSED) throw unsupported(`key ${key} of ${option} type=${type}`)
    throw usage(withSuggestion(`unknown key ${JSON.stringify(key)} of ${option} type=${type}`, key, keys))
  }
}

function unknownType(type: string, option: string, types: readonly string[]): Error {
  if (OTHER_TYPES.includes(type)) return unsupported(`${option} type=${type}`, `types are ${types.join(', ')}`)
  return usage(withSuggestion(`unknown ${option} type ${JSON.stringify(type)}`, type, types), `types are ${types.join(', ')}`)
}

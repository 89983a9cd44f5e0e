import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import { withSuggestion } from '../../base/suggest.ts'
import type { ImageOutput, OutputSpec, Timed } from '../../build-options.ts'
import { unsupported, usage } from '../usage.ts'
import { outputAnnotation } from './annotation.ts'
import { csvFields, csvPairsTrimmed } from './csv.ts'
import { type Pairs, takeCompression, takeFlag, takeValue } from './pairs.ts'

/** Keys by type, besides `annotation…`; for suggestions, since each reader takes what it knows. */
const IMAGE_KEYS = [
  ...['name', 'oci-mediatypes', 'compression', 'compression-level', 'force-compression', 'rewrite-timestamp', 'source-date-epoch'],
]
export const OUTPUT_KEYS: Readonly<Record<OutputSpec['type'] | 'registry', readonly string[]>> = {
  oci: ['dest', 'tar', ...IMAGE_KEYS],
  docker: ['dest', 'tar', 'context', ...IMAGE_KEYS],
  local: ['dest', 'mode', 'platform-split', 'source-date-epoch'],
  tar: ['dest', 'platform-split', 'source-date-epoch'],
  image: ['push', 'push-by-digest', 'registry.insecure', ...IMAGE_KEYS],
  registry: ['push', 'push-by-digest', 'registry.insecure', ...IMAGE_KEYS],
  cacheonly: [],
}

/** Keys that buildx has and that are not carried out, with the value (if any) that asks for nothing else than what is done. */
export const REFUSED_OUTPUT_KEYS: Readonly<Record<string, string | undefined>> = {
  'attestation-inline': 'false',
  'attestation-prefix': undefined,
  buildinfo: 'false',
  'compatibility-version': '30',
  'danging-name-empty-only': undefined,
  'dangling-name-prefix': undefined,
  mode: 'copy',
  'name-canonical': 'false',
  'oci-artifact': 'false',
  'prefer-nondist-layers': 'false',
  store: 'true',
  unpack: 'false',
}

/**
 * `-o`: nothing is no output, as in buildx; `DIR` is type=local, `-` is type=tar on stdout, otherwise CSV with `type=`. Keys and meanings are buildx's; a key that is not carried out is
 * refused by name.
 */
export function output(text: string): OutputSpec {
  if (text === '-') return { type: 'tar', dest: '-' }
  const fields = csvFields(text, '--output')
  // A folder whose name is quoted is none (buildx).
  if (fields.length === 1 && fields[0] === text && !text.startsWith('type=')) return { type: 'local', dest: text }
  const pairs = csvPairsTrimmed(text, '--output')
  const type = take(pairs, 'type')
  if (!type) throw usage(`invalid --output ${JSON.stringify(text)}: type is required`)
  const spec = specOf(type, pairs)
  for (const [key, value] of pairs) refuseKey(type as keyof typeof OUTPUT_KEYS, key, value)
  return spec
}

function refuseKey(type: keyof typeof OUTPUT_KEYS, key: string, value: string): void {
  const known = Object.hasOwn(REFUSED_OUTPUT_KEYS, key)
  // `store=` is `store=true` to BuildKit.
  if (known && REFUSED_OUTPUT_KEYS[key] === (value || 'true')) return
  if (known) throw unsupported(`key ${key} of --output type=${type}`)
  throw usage(withSuggestion(`unknown key ${JSON.stringify(key)} of --output type=${type}`, key, OUTPUT_KEYS[type]))
}

function specOf(type: string, pairs: Pairs): OutputSpec {
  switch (type) {
    case 'oci':
      return oci(pairs)
    case 'docker':
      return docker(pairs)
    case 'local':
      return { type, dest: destination(type, pairs), ...split(pairs), ...timed(pairs) }
    case 'tar':
      return { type, dest: take(pairs, 'dest') || '-', ...split(pairs), ...timed(pairs) }
    case 'image':
    case 'registry':
      return image(type, pairs)
    case 'cacheonly':
      return { type }
    default:
      throw usage(
        withSuggestion(`unknown --output type ${JSON.stringify(type)}`, type, Object.keys(OUTPUT_KEYS)),
        'types are oci, docker, local, tar, image, registry and cacheonly',
      )
  }
}

function oci(pairs: Pairs): OutputSpec {
  const tar = flagOrEmpty(pairs, 'tar') ?? true
  const dest = destination('oci', pairs)
  if (!tar && dest === '-') throw usage('--output type=oci,tar=false writes a directory: dest cannot be -')
  return { type: 'oci', dest, tar, ...imageOutput(pairs) }
}

/** Without `dest` the image is loaded into docker. */
function docker(pairs: Pairs): OutputSpec {
  if (flagOrEmpty(pairs, 'tar') === false) throw unsupported('tar=false of --output type=docker', 'use type=oci,tar=false for a directory')
  const dest = take(pairs, 'dest')
  const context = take(pairs, 'context')
  if (dest && context) throw usage('--output type=docker: dest and context exclude each other', 'context says which docker loads the image')
  return { type: 'docker', ...(dest ? { dest } : {}), ...(context ? { context } : {}), ...imageOutput(pairs) }
}

function image(type: 'image' | 'registry', pairs: Pairs): OutputSpec {
  const byDigest = flagOrEmpty(pairs, 'push-by-digest')
  const insecure = flagOrEmpty(pairs, 'registry.insecure')
  return {
    type: 'image',
    push: flagOrEmpty(pairs, 'push') ?? type === 'registry',
    ...(byDigest === undefined ? {} : { pushByDigest: byDigest }),
    ...(insecure === undefined ? {} : { insecure }),
    ...imageOutput(pairs),
  }
}

function imageOutput(pairs: Pairs): ImageOutput {
  const name = take(pairs, 'name')
  const ociMediaTypes = flagOrEmpty(pairs, 'oci-mediatypes')
  const rewriteTimestamp = flag(pairs, 'rewrite-timestamp')
  const annotations = [...pairs].flatMap(([key, value]) => {
    const annotation = outputAnnotation(key, value)
    if (annotation !== undefined) pairs.delete(key)
    return annotation ?? []
  })
  return {
    ...(name ? { name } : {}),
    ...(ociMediaTypes === undefined ? {} : { ociMediaTypes }),
    ...takeCompression(pairs, '--output'),
    ...(annotations.length === 0 ? {} : { annotations }),
    ...(rewriteTimestamp === undefined ? {} : { rewriteTimestamp }),
    ...timed(pairs),
  }
}

function split(pairs: Pairs): { platformSplit?: boolean } {
  const platformSplit = flag(pairs, 'platform-split')
  return platformSplit === undefined ? {} : { platformSplit }
}

/** An empty value turns SOURCE_DATE_EPOCH of the build off. */
function timed(pairs: Pairs): Timed {
  const text = take(pairs, 'source-date-epoch')
  if (text === undefined) return {}
  if (text === '') return { epoch: null }
  if (/^-?[0-9]{1,12}$/.test(text)) return { epoch: Number(text) }
  throw usage(`invalid source-date-epoch ${JSON.stringify(text)}: expected seconds since 1970`)
}

function destination(type: string, pairs: Pairs): string {
  const dest = take(pairs, 'dest')
  if (dest) return dest
  throw usage(`--output type=${type} needs dest=PATH`, type === 'local' ? 'dest is a directory' : 'dest=- writes to standard output')
}

const take = takeValue
const flag = (pairs: Pairs, key: string) => takeFlag(pairs, key, '--output')
/** Of these `key=` is true (BuildKit). */
const flagOrEmpty = (pairs: Pairs, key: string) => takeFlag(pairs, key, '--output', true)

export interface OutputFlags {
  readonly output: readonly string[]
  readonly push?: boolean
  readonly load?: boolean
  readonly tag: readonly string[]
}

/** `-o`, `--push` and `--load` as buildx adds them up: the two are for the first output of their kind, or one more. */
export function outputs({ output: texts, push, load, tag }: OutputFlags, environment: NodeJS.ProcessEnv): OutputSpec[] {
  const specs = texts.filter((text) => text !== '').map(output)
  if (specs.filter((spec) => 'dest' in spec && spec.dest === '-').length > 1) throw usage('only one output can go to standard output')
  if (specs.some(loads) && !hasDocker(environment)) {
    throw usage('--output type=docker needs dest=PATH', 'there is no `docker` in PATH to load it into; dest=- writes to standard output')
  }
  const pushed = push && specs.some(({ type }) => type === 'image')
  if (push && !pushed && tag.length === 0) throw usage('--push needs a tag', 'add -t REGISTRY/NAME:TAG')
  return [
    ...specs.map((spec) => (push && spec.type === 'image' ? { ...spec, push: true } : spec)),
    ...(push && !pushed ? [{ type: 'image' as const, push: true }] : []),
    ...(load && !specs.some(loads) && hasDocker(environment) ? [{ type: 'docker' as const }] : []),
  ]
}

function loads(spec: OutputSpec): boolean {
  return spec.type === 'docker' && spec.dest === undefined
}

/** Whether `docker load` can be run. */
export function hasDocker({ PATH = '' }: NodeJS.ProcessEnv): boolean {
  return PATH.split(':').some((folder) => {
    try {
      accessSync(join(folder || '.', 'docker'), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

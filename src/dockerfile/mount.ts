import { TbuildError } from '../base/errors.ts'
import { withSuggestion } from '../base/suggest.ts'
import { parseGoBool } from '../go/bool.ts'
import { baseName, cleanPath } from '../go/path.ts'
import { goQuote } from '../go/quote.ts'
import { parseByteSize } from '../values/byte-size.ts'
import { parseCsvFields } from './csv.ts'

/** One RUN --mount, checked and with its defaults (Dockerfile reference, "RUN --mount"). `parseMount` lives here. */
export type RunMount = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount

interface MountBase {
  /** As written or defaulted; relative targets are joined with WORKDIR later (M3). */
  readonly target: string
}
interface BindMount extends MountBase {
  readonly type: 'bind'
  readonly from?: string
  readonly source: string
  readonly readonly: boolean
}
interface CacheMount extends MountBase {
  readonly type: 'cache'
  readonly id?: string
  readonly from?: string
  readonly source?: string
  readonly sharing: 'shared' | 'private' | 'locked'
  readonly readonly: boolean
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
}
interface TmpfsMount extends MountBase {
  readonly type: 'tmpfs'
  readonly readonly: boolean
  /** Bytes; undefined is the kernel's default. */
  readonly size?: number
}
interface SecretMount extends Omit<MountBase, 'target'> {
  readonly type: 'secret'
  readonly id: string
  /** undefined: env only. */
  readonly target?: string
  readonly env?: string
  readonly required: boolean
  readonly mode: number
  readonly uid: number
  readonly gid: number
}
interface SshMount extends Omit<MountBase, 'target'> {
  readonly type: 'ssh'
  readonly id: string
  /** undefined: /run/buildkit/ssh_agent.N */
  readonly target?: string
  readonly required: boolean
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

const TYPES = ['bind', 'cache', 'secret', 'ssh', 'tmpfs'] as const
const SHARING = ['locked', 'private', 'shared'] as const
const KEYS = 'type from source target readonly id sharing required size mode uid gid src dst destination ro rw readwrite env'.split(' ')

/** The options as they are read; which of them a type allows is checked at the end. */
interface Options {
  type: RunMount['type']
  from?: string
  source?: string
  target?: string
  id?: string
  env?: string
  sharing?: CacheMount['sharing']
  readonly?: boolean
  required?: boolean
  size?: number
  mode?: number
  uid?: number
  gid?: number
}

/** What is wrong with a mount before its variables are known: its CSV, and variables where none are allowed (G7). Throws MOUNT_INVALID. */
export function checkMount(raw: string): void {
  for (const field of parseCsvFields(raw, (problem) => invalid(`failed to parse csv mounts: ${problem}`))) {
    const [, key = '', value = ''] = /^([^=]*)=([\s\S]*)$/.exec(field) ?? []
    if (key.toLowerCase() === 'from' && /\$./.test(value)) {
      throw invalid(`'${key.toLowerCase()}' doesn't support variable expansion, define alias stage instead`)
    }
  }
}

/** What a mount of any type takes its files from, as written: stages and images are found before the type and the variables of a mount are looked at. */
export function mountFrom(raw: string): string | undefined {
  const values = parseCsvFields(raw, invalid).flatMap((field) => /^from=([\s\S]*)$/i.exec(field)?.[1] ?? [])
  return values.at(-1) || undefined
}

/**
 * Parses the value of one RUN --mount (M2, M9-M12). `expand` gets each option's value. `target` is '' when none is written and the
 * type has no default. Throws MOUNT_INVALID without a span.
 */
export function parseMount(raw: string, expand: (word: string) => string = (word) => word): RunMount {
  checkMount(raw)
  const options: Options = { type: 'bind' }
  for (const field of parseCsvFields(raw, invalid)) {
    const equals = field.indexOf('=')
    if (equals === -1) readSwitch(options, field)
    else readOption(options, field.slice(0, equals).toLowerCase(), expand(field.slice(equals + 1)), field)
  }
  checkAllowed(options)
  return finish(options)
}

function invalid(message: string): TbuildError {
  return new TbuildError('MOUNT_INVALID', message)
}

function readSwitch(options: Options, field: string): void {
  const key = field.toLowerCase()
  if (key === 'readonly' || key === 'ro') options.readonly = true
  else if (key === 'readwrite' || key === 'rw') options.readonly = false
  else if (key === 'required') options.required = required(options, 'true')
  else throw invalid(`invalid field '${field}' must be a key=value pair`)
}

function readOption(options: Options, key: string, value: string, field: string): void {
  switch (key) {
    case 'type':
      options.type = oneOf(value, TYPES, 'unsupported mount type')
      return
    case 'sharing':
      options.sharing = oneOf(value, SHARING, 'unsupported sharing value')
      return
    case 'from':
    case 'id':
    case 'env':
      options[key] = value
      return
    case 'source':
    case 'src':
      options.source = value
      return
    case 'target':
    case 'dst':
    case 'destination':
      options.target = value
      return
    case 'readonly':
    case 'ro':
      options.readonly = boolean(key, value)
      return
    case 'readwrite':
    case 'rw':
      options.readonly = !boolean(key, value)
      return
    case 'required':
      options.required = required(options, value)
      return
    case 'size':
      options.size = size(options, value)
      return
    case 'mode':
    case 'uid':
    case 'gid':
      options[key] = number(key, value)
      return
    default:
      throw invalid(withSuggestion(`unexpected key '${key}' in '${field}'`, key, KEYS, { caseSensitive: true }))
  }
}

function oneOf<T extends string>(value: string, allowed: readonly T[], message: string): T {
  const found = allowed.find((option) => option === value.toLowerCase())
  if (found !== undefined) return found
  throw invalid(withSuggestion(`${message} ${goQuote(value)}`, value, allowed, { caseSensitive: true }))
}

function boolean(key: string, value: string): boolean {
  const parsed = parseGoBool(value)
  if (parsed === undefined) throw invalid(`invalid value for ${key}: ${value}`)
  return parsed
}

/** The type must stand before it, as in BuildKit. */
function required({ type }: Options, value: string): boolean {
  if (type !== 'secret' && type !== 'ssh') throw invalid(`unexpected key 'required' for mount type '${type}'`)
  return boolean('required', value)
}

function size({ type }: Options, value: string): number {
  if (type !== 'tmpfs') throw invalid(`unexpected key 'size' for mount type '${type}'`)
  try {
    return parseByteSize(value)
  } catch {
    throw invalid(`invalid value for size: ${value}`)
  }
}

/** strconv.ParseUint of 32 bits: octal for a mode, decimal for ids. */
function number(key: 'mode' | 'uid' | 'gid', value: string): number {
  const parsed = (key === 'mode' ? /^[0-7]+$/ : /^[0-9]+$/).test(value) ? Number.parseInt(value, key === 'mode' ? 8 : 10) : Number.NaN
  if (parsed < 2 ** 32) return parsed
  throw invalid(`invalid value ${value} for ${key}`)
}

function checkAllowed(options: Options): void {
  const { type, from, source = '', target = '', id = '', sharing } = options
  if (type === 'bind' || type === 'tmpfs') {
    const owner = (['mode', 'uid', 'gid'] as const).find((key) => options[key] !== undefined)
    if (owner !== undefined) throw invalid(`${owner} not allowed for "${type}" type mounts`)
  }
  if (type === 'secret') {
    if (from) throw invalid('secret mount should not have a from')
    if (sharing !== undefined) throw invalid('secret mount should not define sharing')
    if (source === '' && target === '' && id === '') throw invalid('invalid secret mount. one of source, target required')
    if (source !== '' && id !== '') throw invalid("both source and id can't be set")
  }
  if (sharing !== undefined && type !== 'cache') throw invalid(`invalid cache sharing set for ${type} mount`)
  if (type === 'ssh' && source !== '') throw invalid('ssh does not support source')
}

function finish(options: Options): RunMount {
  const { type, target = '' } = options
  const from = options.from ? { from: options.from } : {}
  switch (type) {
    case 'bind':
      return { type, target, ...from, source: options.source ?? '', readonly: options.readonly ?? true }
    case 'tmpfs':
      return { type, target, readonly: options.readonly ?? false, ...(options.size ? { size: options.size } : {}) }
    case 'cache':
      return finishCache(options, target, from)
    case 'secret':
      return finishSecret(options)
    case 'ssh':
      return { type, id: options.id || 'default', ...(target === '' ? {} : { target }), ...access(options, 0o600) }
  }
}

function finishCache(options: Options, target: string, from: { from?: string }): CacheMount {
  const { id, source, sharing = 'shared', readonly = false, mode, uid, gid } = options
  return {
    type: 'cache',
    target,
    ...(id ? { id } : {}),
    ...from,
    // The root of `from` is no sub-directory of it (M6).
    ...(source && cleanPath(`/${source}`) !== '/' ? { source } : {}),
    sharing,
    readonly,
    // llb.Mkdir knows no other bits.
    ...(mode === undefined ? {} : { mode: mode & 0o777 }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  }
}

/** M9, M11: without `env` there is always a file. */
function finishSecret(options: Options): SecretMount {
  const { env, target = '' } = options
  const id = options.source || options.id || baseName(target)
  const file = target !== '' ? target : env === undefined ? `/run/secrets/${baseName(id)}` : undefined
  return {
    type: 'secret',
    id,
    ...(file === undefined ? {} : { target: file }),
    ...(env === undefined ? {} : { env }),
    ...access(options, 0o400),
  }
}

function access({ required = false, mode, uid = 0, gid = 0 }: Options, defaultMode: number) {
  return { required, mode: mode ?? defaultMode, uid, gid }
}

import { parseGoDuration } from '../../go/duration.ts'
import type { Candidate, CollectRule } from '../../store/gc-selection.ts'
import { parseByteSize } from '../../values/byte-size.ts'
import { usage } from '../usage.ts'

export interface PruneFlags {
  filter: string[]
  keepStorage?: string
  minFree?: string
  all?: boolean
}

/** BuildKit's names for the types, too. */
const TYPES: Readonly<Record<string, Candidate['type']>> = {
  record: 'record',
  regular: 'record',
  mount: 'mount',
  'exec.cachemount': 'mount',
  image: 'image',
}

/** The rule that the options describe; undefined when they name nothing: the policy of the store decides then. */
export function pruneRule(flags: PruneFlags, now: number): CollectRule | undefined {
  const filters = flags.filter.map(parseFilter)
  const types = filters.flatMap(({ type }) => type ?? [])
  const ages = filters.flatMap((filter) => filter.before?.(now) ?? [])
  const tests = filters.flatMap(({ matches }) => matches ?? [])
  const keepBytes = bytes(flags.keepStorage, '--keep-storage')
  const minFree = bytes(flags.minFree, '--min-free')
  if (!flags.all && filters.length === 0 && keepBytes === undefined && minFree === undefined) return undefined
  return {
    ...(types.length === 0 ? {} : { types }),
    ...(ages.length === 0 ? {} : { unusedFor: Math.max(...ages) }),
    ...(keepBytes === undefined ? {} : { keepBytes }),
    ...(minFree === undefined ? {} : { minFree }),
    filter: (item) => tests.every((matches) => matches(item)),
  }
}

interface Filter {
  readonly type?: Candidate['type']
  /** Milliseconds that the thing must be unused. */
  readonly before?: (now: number) => number
  readonly matches?: (item: Candidate) => boolean
}

/** `until=24h`, `until=2026-01-31`, `unused-for=24h`, `type=mount`, `id=PREFIX`; `id!=` and `id~=` (a part of it) too. All of them must agree. */
function parseFilter(text: string): Filter {
  const match = /^([a-z-]+)(=|!=|~=)(.*)$/s.exec(text)
  const [, name = '', operator = '', value = ''] = match ?? []
  if (!['until', 'unused-for', 'type', 'id'].includes(name) || value === '') {
    throw usage(`invalid filter ${JSON.stringify(text)}`, 'filters are until=, unused-for=, type= and id=')
  }
  if (name === 'id') return { matches: idTest(operator, value) }
  if (operator !== '=') throw usage(`invalid filter ${JSON.stringify(text)}: only id can be compared with ${operator}`)
  if (name === 'type') return { type: typeOf(value) }
  return { before: ageOf(name, value) }
}

function typeOf(value: string): Candidate['type'] {
  const type = Object.hasOwn(TYPES, value) ? TYPES[value] : undefined
  if (type === undefined) throw usage(`invalid filter: unknown type ${JSON.stringify(value)}`, `types are ${Object.keys(TYPES).join(', ')}`)
  return type
}

/** By what `du` shows: the digest or its beginning, the id of a cache mount, the name of an image. */
function idTest(operator: string, value: string): (item: Candidate) => boolean {
  const names = ({ id, name, type }: Candidate) => [id, id.replace(/^sha256:/, ''), ...(type !== 'record' && name ? [name] : [])]
  if (operator === '~=') return (item) => names(item).some((name) => name.includes(value))
  const same = (item: Candidate) =>
    names(item).includes(value) || (/^(?:sha256:)?[0-9a-f]{6,64}$/.test(value) && names(item).some((name) => name.startsWith(value)))
  return operator === '=' ? same : (item) => !same(item)
}

function ageOf(name: string, value: string): (now: number) => number {
  if (name === 'until' && /^\d{4}-\d\d-\d\d/.test(value)) {
    const time = Date.parse(value)
    if (Number.isNaN(time)) throw usage(`invalid filter: ${JSON.stringify(value)} is no time`, 'write until=2026-01-31 or until=24h')
    return (now) => Math.max(0, now - time)
  }
  try {
    const milliseconds = Number(parseGoDuration(value) / 1_000_000n)
    if (milliseconds >= 0) return () => milliseconds
  } catch {
    // Said below.
  }
  throw usage(`invalid filter: ${JSON.stringify(value)} is no duration`, `write ${name}=24h or ${name}=1h30m`)
}

function bytes(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined
  try {
    return parseByteSize(text)
  } catch {
    throw usage(`invalid ${option} value ${JSON.stringify(text)}: expected a size`, 'for example 10GB')
  }
}

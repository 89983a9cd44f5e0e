import { resolve } from 'node:path'
import { parseArgs } from 'node:util'

export type Size = 'quick' | 'small' | 'large'

export interface BenchOptions {
  /** Names of loads; none: all. */
  readonly loads: readonly string[]
  readonly rounds: number
  readonly sizes: readonly Size[]
  /** Names of other builders that may take part; undefined: all that are found. */
  readonly peers: readonly string[] | undefined
  /** Words that reach the peers, before each of their commands. */
  readonly prefix: readonly string[]
  /** Other checkouts of tbuild, by name. */
  readonly checkouts: ReadonlyMap<string, string>
  /** `host:port` of a registry that may be pushed to; undefined: one of the bench's own. */
  readonly registry: string | undefined
  /** Where the results go. */
  readonly output: string
  /** A document whose table between the markers is replaced. */
  readonly document: string | undefined
  /** Seconds after which a run has failed. */
  readonly timeout: number
  readonly isPruning: boolean
  readonly action: 'measure' | 'list' | 'help'
}

export class UsageError extends Error {}

export const USAGE = `npm run bench -- [LOAD...] [option...]

Builds the same with this checkout and every builder that is found (docker with buildx, buildctl with buildkitd, buildah, podman), in turns, and writes
medians, ratios and spread to bench.md, bench.json and bench.svg.

  --list              the loads, and what they measure
  --rounds N          counted runs of each builder in each case (default 3, quick 2)
  --size WHICH        small, large or both (default both)
  --quick             small amounts, for a first look: minutes, and no growth
  --peers A,B         only these peers; none: tbuild alone
  --prefix 'CMD ...'  words that stand before each command of a peer, as of a container; what they cost is taken off (default $TBUILD_BENCH_PREFIX)
  --checkout NAME=DIR another checkout of tbuild, set up, to compare with; several
  --registry HOST     a registry that may be pushed to without a login (default: one is started on loopback)
  --out DIR           where the results go (default build/bench)
  --update FILE       also writes the table between the markers of a document
  --timeout SECONDS   of one run (default 900)
  --prune             at the end, empties the peers' build caches, with all that others have there

Needs root or user namespaces, busybox-static and python3. Interrupted, it ends what it started, removes what it made, and keeps what it has measured.`

const OPTIONS = {
  list: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  rounds: { type: 'string' },
  size: { type: 'string' },
  quick: { type: 'boolean' },
  peers: { type: 'string' },
  prefix: { type: 'string' },
  checkout: { type: 'string', multiple: true },
  registry: { type: 'string' },
  out: { type: 'string' },
  update: { type: 'string' },
  timeout: { type: 'string' },
  prune: { type: 'boolean' },
} as const

/** Throws UsageError. */
export function benchOptions(args: readonly string[], environment: NodeJS.ProcessEnv, known: KnownNames): BenchOptions {
  const { values, positionals } = parsed(args)
  const quick = values.quick ?? false
  if (quick && values.size !== undefined) throw new UsageError('--quick has amounts of its own: --size does not go with it')
  return {
    loads: names(positionals, known.loads, 'load'),
    rounds: positive('--rounds', values.rounds, quick ? 2 : 3),
    sizes: quick ? ['quick'] : sizes(values.size ?? 'both'),
    peers: values.peers === undefined ? undefined : peers(values.peers, known.peers),
    prefix: words(values.prefix ?? environment.TBUILD_BENCH_PREFIX ?? ''),
    checkouts: new Map((values.checkout ?? []).map((value) => checkout(value, known.peers))),
    registry: values.registry,
    output: resolve(values.out ?? 'build/bench'),
    document: values.update === undefined ? undefined : resolve(values.update),
    timeout: positive('--timeout', values.timeout, 900),
    isPruning: values.prune ?? false,
    action: values.help ? 'help' : values.list ? 'list' : 'measure',
  }
}

export interface KnownNames {
  readonly loads: readonly string[]
  readonly peers: readonly string[]
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function names(given: readonly string[], known: readonly string[], what: string): readonly string[] {
  const unknown = given.filter((name) => !known.includes(name))
  if (unknown.length > 0) throw new UsageError(`unknown ${what}: ${unknown.join(', ')}; there are ${known.join(', ')}`)
  return given
}

function positive(option: string, value: string | undefined, byDefault: number): number {
  if (value === undefined) return byDefault
  if (!/^[1-9]\d{0,5}$/.test(value)) throw new UsageError(`${option} is a whole number from 1 on, not ${value}`)
  return Number(value)
}

function sizes(value: string): readonly Size[] {
  if (value === 'both') return ['small', 'large']
  if (value === 'small' || value === 'large') return [value]
  throw new UsageError(`--size is small, large or both, not ${value}`)
}

function words(value: string): readonly string[] {
  return value.split(' ').filter((word) => word !== '')
}

function peers(value: string, known: readonly string[]): readonly string[] {
  return value === 'none' ? [] : names(value.split(','), known, 'peer')
}

function checkout(value: string, taken: readonly string[]): [string, string] {
  const [, name = '', folder = ''] = /^([a-z0-9.-]+)=(.+)$/i.exec(value) ?? []
  if (name === '') throw new UsageError(`--checkout is NAME=DIR, not ${value}`)
  if (name === 'tbuild' || taken.includes(name)) throw new UsageError(`--checkout cannot be called ${name}: another builder is`)
  return [name, resolve(folder)]
}

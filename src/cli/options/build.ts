import type { BuildOptions, CacheExportSpec } from '../../build-options.ts'
import { parseGoBool } from '../../go/bool.ts'
import { buildArgValues } from '../../this-machine/request.ts'
import { usage } from '../usage.ts'
import { annotations } from './annotation.ts'
import { refuseAttestations } from './attest.ts'
import { cacheFrom, cacheTo } from './cache.ts'
import { refuseEnvironment } from './environment.ts'
import { isolation } from './isolation.ts'
import { buildArgs, buildContexts, labels } from './key-value.ts'
import { byteSize, jobs, limits, ulimit } from './limits.ts'
import { entitlements, extraHosts, network } from './network.ts'
import { outputs } from './output.ts'
import { platforms } from './platform.ts'
import { proxies } from './proxies.ts'
import { secret, ssh } from './secret.ts'

/** The options of `tbuild build` as commander collects them. */
export interface BuildFlags {
  file?: string
  tag: string[]
  target?: string
  buildArg: string[]
  label: string[]
  platform: string[]
  cache: boolean
  /** What commander makes of --no-cache-filter. */
  cacheFilter: string[]
  cacheFrom: string[]
  cacheTo: string[]
  pull?: boolean
  resetCacheMounts?: boolean
  cacheMountOwner?: string
  normalizeModes?: boolean
  push?: boolean
  load?: boolean
  attest: string[]
  network?: string
  allow: string[]
  addHost: string[]
  ulimit: string[]
  shmSize?: string
  cgroupParent?: string
  isolation?: string
  secret: string[]
  ssh: string[]
  buildContext: string[]
  annotation: string[]
  output: string[]
  provenance?: string
  sbom?: string
  limit: string[]
  jobs?: string
  call?: string
  check?: boolean
  root?: string
}

/** Turns flags into BuildOptions; every value is checked here, so that a wrong command line fails before anything is read. */
export function buildOptions(context: string, flags: BuildFlags, environment: NodeJS.ProcessEnv): BuildOptions {
  if (context === '') throw usage('the context is empty', 'write . for the directory that you are in')
  if (context === '-' && flags.file === '-') throw usage('the context and the Dockerfile cannot both be read from standard input')
  refuseAttestations(flags)
  refuseEnvironment(environment)
  const args = buildArgValues(buildArgs(flags.buildArg), environment)
  return {
    context,
    environment,
    ...optional('file', flags.file || undefined),
    ...optional('target', flags.target || undefined),
    ...list('tags', flags.tag),
    ...record('buildArgs', withProxies(args, environment)),
    ...record('labels', labels(flags.label)),
    ...list('platforms', platforms(flags.platform, environment)),
    ...(flags.cache ? {} : { noCache: true }),
    ...list(
      'noCacheFilter',
      flags.cacheFilter.flatMap((value) => value.split(',')).filter((name) => name !== ''),
    ),
    ...(flags.pull ? { pull: true } : {}),
    ...(flags.resetCacheMounts ? { resetCacheMounts: true } : {}),
    ...(flags.cacheMountOwner === 'user' ? { cacheMountOwner: 'user' as const } : {}),
    ...optional('normalizeModes', flags.normalizeModes),
    ...optional('network', flags.network === undefined ? undefined : network(flags.network)),
    ...list('allow', entitlements(given(flags.allow))),
    ...list('extraHosts', extraHosts(given(flags.addHost))),
    ...list('ulimits', flags.ulimit.map(ulimit)),
    ...optional('shmSize', flags.shmSize === undefined ? undefined : byteSize(flags.shmSize, '--shm-size')),
    ...optional('isolation', isolation(flags.isolation)),
    ...optional('cgroupParent', flags.cgroupParent || undefined),
    ...list(
      'secrets',
      given(flags.secret).map((text) => secret(text, environment)),
    ),
    ...list('ssh', given(flags.ssh).map(ssh)),
    ...record('buildContexts', buildContexts(given(flags.buildContext))),
    ...list('annotations', annotations(given(flags.annotation))),
    ...list('outputs', outputs(flags, environment)),
    ...list('cacheFrom', given(flags.cacheFrom).flatMap(cacheFrom)),
    ...list('cacheTo', cachesTo(flags, args)),
    ...record('limits', limits(flags.limit)),
    ...optional('jobs', flags.jobs === undefined ? undefined : jobs(flags.jobs)),
    ...optional('root', flags.root || undefined),
  }
}

/** Of some options an empty value is none, as in buildx: scripts write `--secret "$SECRET"`. */
function given(values: readonly string[]): string[] {
  return values.filter((value) => value !== '')
}

/** With those of docker's configuration; one that is given wins, in whatever case it is written. */
function withProxies(args: Record<string, string>, environment: NodeJS.ProcessEnv): Record<string, string> {
  const given = new Set(Object.keys(args).map((name) => name.toLowerCase()))
  const others = Object.entries(proxies(environment)).filter(([name]) => !given.has(name.toLowerCase()))
  return { ...Object.fromEntries(others), ...args }
}

/** The build argument BUILDKIT_INLINE_CACHE is an older way to write `--cache-to type=inline`. */
function cachesTo(flags: BuildFlags, args: Readonly<Record<string, string>>): CacheExportSpec[] {
  const specs = given(flags.cacheTo).flatMap(cacheTo)
  const inline = parseGoBool(args.BUILDKIT_INLINE_CACHE ?? '') === true && !specs.some(({ type }) => type === 'inline')
  return inline ? [...specs, { type: 'inline' }] : specs
}

function optional<K extends string, V>(key: K, value: V | undefined): { [key in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [key in K]?: V })
}

function list<K extends string, V>(key: K, values: readonly V[]): { [key in K]?: readonly V[] } {
  return optional(key, values.length === 0 ? undefined : values)
}

function record<K extends string, V extends object>(key: K, value: V): { [key in K]?: V } {
  return optional(key, Object.keys(value).length === 0 ? undefined : value)
}

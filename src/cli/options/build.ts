import { parsePlatform } from '../../base/platform.ts'
import type { BuildOptions } from '../../build-options.ts'
import { unsupported, usage } from '../usage.ts'
import { annotations } from './annotation.ts'
import { cacheFrom, cacheTo } from './cache.ts'
import { buildArgs, buildContexts, labels } from './key-value.ts'
import { byteSize, jobs, ulimit } from './limits.ts'
import { entitlements, extraHost, network } from './network.ts'
import { output } from './output.ts'
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
  network?: string
  allow: string[]
  addHost: string[]
  ulimit: string[]
  shmSize?: string
  cgroupParent?: string
  secret: string[]
  ssh: string[]
  buildContext: string[]
  annotation: string[]
  output: string[]
  provenance?: string
  sbom?: string
  jobs?: string
  call?: string
  check?: boolean
  root?: string
}

/** Turns flags into BuildOptions; every value is checked here, so that a wrong command line fails before anything is read. */
export function buildOptions(context: string, flags: BuildFlags, environment: NodeJS.ProcessEnv): BuildOptions {
  if (context === '-' && flags.file === '-') throw usage('the context and the Dockerfile cannot both be read from standard input')
  refuseAttestations(flags)
  const platforms = platformList(flags.platform, environment)
  const outputs = outputList(flags)
  return {
    context,
    environment,
    ...optional('file', flags.file),
    ...optional('target', flags.target),
    ...list('tags', flags.tag),
    ...record('buildArgs', buildArgs(flags.buildArg)),
    ...record('labels', labels(flags.label)),
    ...list('platforms', platforms),
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
    ...list('allow', entitlements(flags.allow)),
    ...list('extraHosts', flags.addHost.map(extraHost)),
    ...list('ulimits', flags.ulimit.map(ulimit)),
    ...optional('shmSize', flags.shmSize === undefined ? undefined : byteSize(flags.shmSize, '--shm-size')),
    ...optional('cgroupParent', flags.cgroupParent),
    ...list(
      'secrets',
      flags.secret.map((text) => secret(text, environment)),
    ),
    ...list('ssh', flags.ssh.map(ssh)),
    ...record('buildContexts', buildContexts(flags.buildContext)),
    ...list('annotations', annotations(flags.annotation)),
    ...list('outputs', outputs),
    ...list('cacheFrom', flags.cacheFrom.map(cacheFrom)),
    ...list('cacheTo', flags.cacheTo.map(cacheTo)),
    ...optional('jobs', flags.jobs === undefined ? undefined : jobs(flags.jobs)),
    ...optional('root', flags.root),
  }
}

function platformList(values: readonly string[], environment: NodeJS.ProcessEnv) {
  const fallback = environment.DOCKER_DEFAULT_PLATFORM
  const texts = values.length === 0 && fallback ? [fallback] : values
  return texts
    .flatMap((value) => value.split(','))
    .filter((text) => text !== '')
    .map((text) => parsePlatform(text))
}

function outputList(flags: BuildFlags) {
  const outputs = flags.output.map(output)
  if (outputs.filter((spec) => 'dest' in spec && spec.dest === '-').length > 1) throw usage('only one output can go to standard output')
  if (!flags.push) return outputs
  const images = outputs.filter((spec) => spec.type === 'image')
  if (images.length > 0) return outputs.map((spec) => (spec.type === 'image' ? { ...spec, push: true } : spec))
  if (flags.tag.length === 0) throw usage('--push needs a tag', 'add -t REGISTRY/NAME:TAG')
  return [...outputs, { type: 'image' as const, push: true }]
}

/** `--provenance=false` and `--sbom=false` ask for what is done anyway; anything else would promise an attestation. */
function refuseAttestations(flags: BuildFlags): void {
  for (const [name, value] of [
    ['--provenance', flags.provenance],
    ['--sbom', flags.sbom],
  ] as const) {
    if (value !== undefined && !['false', '0', 'disabled=true'].includes(value)) throw unsupported(`${name}=${value}`, `use ${name}=false`)
  }
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

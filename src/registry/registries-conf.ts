import { readdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { TbuildError } from '../base/errors.ts'
import { hostnameOf, kindOfHost } from './origin.ts'
import type { Environment } from './proxy.ts'

/** `[[registry]]` of containers-registries.conf(5), version 2. */
export interface RegistryEntry {
  readonly prefix: string
  readonly location: string
  readonly insecure: boolean
  readonly blocked: boolean
  /** Asked before the registry, in order, for pulls only. */
  readonly mirrors?: readonly Mirror[]
}

/** `[[registry.mirror]]`. */
interface Mirror {
  readonly location: string
  readonly insecure: boolean
  /** `pull-from-mirror`, and `mirror-by-digest-only` of its registry: for which references it is asked. */
  readonly serves: 'all' | 'digest-only' | 'tag-only'
}

/** Where a repository is asked for, after registries.conf. */
export interface Endpoint {
  /** host[:port] of the API */
  readonly host: string
  readonly path: string
  /** `tls` only, `plain` only, or `either`: TLS unverified, then plain. */
  readonly security: 'tls' | 'plain' | 'either'
}

/** The nearest of the user's and the system's file, with its .d folder. */
export function loadRegistriesConf(environment: Environment): RegistryEntry[] {
  const named = environment.CONTAINERS_REGISTRIES_CONF
  const config = environment.XDG_CONFIG_HOME || join(environment.HOME || homedir(), '.config')
  const files = named ? [named] : [join(config, 'containers/registries.conf'), '/etc/containers/registries.conf']
  for (const file of files) {
    const text = readOptional(file)
    if (text === undefined) continue
    const more = listOptional(`${file}.d`).map((name) => join(`${file}.d`, name))
    return [...parseRegistriesConf(text, file), ...more.flatMap((path) => parseRegistriesConf(readOptional(path) ?? '', path))]
  }
  return []
}

function readOptional(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

function listOptional(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith('.conf'))
      .sort()
  } catch {
    return []
  }
}

type Table = Map<string, string>

/** The part of TOML that these files are written in: tables, `key = "text" | true | false`. */
export function parseRegistriesConf(text: string, file: string): RegistryEntry[] {
  const entries: { table: Table; mirrors: Table[] }[] = []
  let table: Table | undefined
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const header = /^\[+\s*([A-Za-z0-9_.-]+)\s*\]+\s*(?:#.*)?$/.exec(line)
    if (header) {
      const list = line.startsWith('[[')
      table = list && (header[1] === 'registry' || header[1] === 'registry.mirror') ? new Map() : undefined
      if (table && header[1] === 'registry') entries.push({ table, mirrors: [] })
      else if (table) {
        const registry = entries.at(-1)
        if (registry === undefined) throw unsupported(file, index, 'a mirror of no registry')
        registry.mirrors.push(table)
      }
      continue
    }
    const pair = /^"?([A-Za-z_-]+)"?\s*=\s*(?:"([^"]*)"|'([^']*)'|(true|false))\s*(?:#.*)?$/.exec(line)
    if (table && !pair) throw unsupported(file, index, `the line ${JSON.stringify(line)}`)
    if (table && pair) table.set(pair[1] as string, pair[2] ?? pair[3] ?? (pair[4] as string))
  }
  return entries.map(({ table: registry, mirrors }) => toEntry(registry, mirrors, file))
}

function toEntry(table: Table, mirrors: readonly Table[], file: string): RegistryEntry {
  const location = table.get('location') ?? table.get('prefix') ?? ''
  const digestOnly = table.get('mirror-by-digest-only') === 'true'
  return {
    prefix: table.get('prefix') || location,
    location,
    insecure: table.get('insecure') === 'true',
    blocked: table.get('blocked') === 'true',
    ...(mirrors.length === 0 ? {} : { mirrors: mirrors.map((mirror) => toMirror(mirror, digestOnly, file)) }),
  }
}

function toMirror(table: Table, digestOnly: boolean, file: string): Mirror {
  const location = table.get('location')
  const serves = table.get('pull-from-mirror') || (digestOnly ? 'digest-only' : 'all')
  if (!location) throw invalidMirror(file, 'a mirror without a location')
  if (serves !== 'all' && serves !== 'digest-only' && serves !== 'tag-only') throw invalidMirror(file, `pull-from-mirror = "${serves}"`)
  return { location, insecure: table.get('insecure') === 'true', serves }
}

function invalidMirror(file: string, what: string): TbuildError {
  return new TbuildError('REGISTRIES_CONF_UNSUPPORTED', `${file}: ${what}: not supported`, {
    hint: 'a mirror has a location, insecure, and pull-from-mirror = "all", "digest-only" or "tag-only"',
  })
}

function unsupported(file: string, index: number, what: string): TbuildError {
  return new TbuildError('REGISTRIES_CONF_UNSUPPORTED', `${file}:${index + 1}: ${what}: not supported`, {
    hint: 'point CONTAINERS_REGISTRIES_CONF at a file with [[registry]] and [[registry.mirror]] tables of texts and true or false only',
  })
}

function matchLength(prefix: string, name: string): number {
  if (prefix.startsWith('*.')) {
    const host = name.slice(0, name.indexOf('/'))
    return host.endsWith(prefix.slice(1)) ? prefix.length : -1
  }
  return name === prefix || name.startsWith(`${prefix}/`) ? prefix.length : -1
}

/** The endpoint of `domain/path`; the longest prefix wins. Loopback speaks plain HTTP. */
export function endpointOf(domain: string, path: string, entries: readonly RegistryEntry[]): Endpoint {
  const { name, entry } = entryOf(domain, path, entries)
  if (entry === undefined || entry.location === '') return endpoint(name, entry?.insecure === true)
  return endpoint(entry.prefix.startsWith('*.') ? name : rewritten(name, entry, entry.location), entry.insecure)
}

/** The mirrors that are asked for a pull before the endpoint. */
export function mirrorsOf(domain: string, path: string, byDigest: boolean, entries: readonly RegistryEntry[]): Endpoint[] {
  const { name, entry } = entryOf(domain, path, entries)
  if (entry === undefined) return []
  return (entry.mirrors ?? [])
    .filter(({ serves }) => serves === 'all' || serves === (byDigest ? 'digest-only' : 'tag-only'))
    .map(({ location, insecure }) => endpoint(rewritten(name, entry, location), insecure))
}

function entryOf(domain: string, path: string, entries: readonly RegistryEntry[]): { name: string; entry: RegistryEntry | undefined } {
  const name = `${domain}/${path}`
  let best: RegistryEntry | undefined
  for (const entry of entries) {
    if (matchLength(entry.prefix, name) > (best === undefined ? 0 : matchLength(best.prefix, name))) best = entry
  }
  if (best?.blocked) {
    throw new TbuildError('REGISTRY_DENIED', `${name}: the registry is blocked in registries.conf`, {
      hint: 'take `blocked = true` out, or use another image',
    })
  }
  return { name, entry: best }
}

/** A prefix with a wildcard stands for the whole host. */
function rewritten(name: string, { prefix }: RegistryEntry, location: string): string {
  return location + name.slice(prefix.startsWith('*.') ? name.indexOf('/') : prefix.length)
}

function endpoint(name: string, insecure: boolean): Endpoint {
  const slash = name.indexOf('/')
  const host = name.slice(0, slash)
  const loopback = kindOfHost(hostnameOf(host)) === 'loopback'
  return {
    host: host === 'docker.io' ? 'registry-1.docker.io' : host,
    path: name.slice(slash + 1),
    security: loopback ? 'plain' : insecure ? 'either' : 'tls',
  }
}

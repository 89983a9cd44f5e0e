import { readdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { TbuildError } from '../base/errors.ts'
import { hostnameOf, kindOfHost } from './origin.ts'
import type { Environment } from './proxy.ts'

/** `[[registry]]` of containers-registries.conf(5), version 2: of it prefix, location, insecure and blocked are used. */
export interface RegistryEntry {
  readonly prefix: string
  readonly location: string
  readonly insecure: boolean
  readonly blocked: boolean
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

/** The part of TOML that these files are written in: tables, `key = "text" | true | false`. Mirrors are refused: they are not carried out. */
export function parseRegistriesConf(text: string, file: string): RegistryEntry[] {
  const entries: Map<string, string>[] = []
  let table: Map<string, string> | undefined
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const header = /^\[+\s*([A-Za-z0-9_.-]+)\s*\]+\s*(?:#.*)?$/.exec(line)
    if (header) {
      if (header[1] === 'registry.mirror') throw unsupported(file, index, 'mirrors ([[registry.mirror]])')
      table = line.startsWith('[[') && header[1] === 'registry' ? new Map() : undefined
      if (table) entries.push(table)
      continue
    }
    const pair = /^"?([A-Za-z_-]+)"?\s*=\s*(?:"([^"]*)"|'([^']*)'|(true|false))\s*(?:#.*)?$/.exec(line)
    if (table && !pair) throw unsupported(file, index, `the line ${JSON.stringify(line)}`)
    if (table && pair) table.set(pair[1] as string, pair[2] ?? pair[3] ?? (pair[4] as string))
  }
  return entries.map(toEntry)
}

function toEntry(table: ReadonlyMap<string, string>): RegistryEntry {
  const location = table.get('location') ?? table.get('prefix') ?? ''
  return {
    prefix: table.get('prefix') || location,
    location,
    insecure: table.get('insecure') === 'true',
    blocked: table.get('blocked') === 'true',
  }
}

function unsupported(file: string, index: number, what: string): TbuildError {
  return new TbuildError('REGISTRIES_CONF_UNSUPPORTED', `${file}:${index + 1}: ${what}: not supported`, {
    hint: 'point CONTAINERS_REGISTRIES_CONF at a file with [[registry]] tables of prefix, location, insecure and blocked only',
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
  const rewritten =
    best === undefined || best.prefix.startsWith('*.') || best.location === '' ? name : best.location + name.slice(best.prefix.length)
  const slash = rewritten.indexOf('/')
  const host = rewritten.slice(0, slash)
  const loopback = kindOfHost(hostnameOf(host)) === 'loopback'
  return {
    host: host === 'docker.io' ? 'registry-1.docker.io' : host,
    path: rewritten.slice(slash + 1),
    security: loopback ? 'plain' : best?.insecure ? 'either' : 'tls',
  }
}

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parse, TomlError } from 'smol-toml'
import type { Environment } from '../../base/environment.ts'
import { configFolder } from '../../base/environment.ts'
import { TbuildError } from '../../base/errors.ts'
import { hostnameOf, kindOfHost } from '../../http/origin.ts'
import { readNamedFile } from '../../values/named-file.ts'

/** `[[registry]]` of containers-registries.conf(5), version 2. */
export interface RegistryEntry {
  readonly prefix: string
  /** Stands in place of the prefix; '' of a wildcard: the name stays as it is. */
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
  /** `tls`: verified. `either`: TLS unverified, else none. `loopback`: the same in the other order, since most of them have no TLS. */
  readonly security: 'tls' | 'either' | 'loopback'
}

/** The nearest of the user's and the system's file, with its .d folder. */
export function loadRegistriesConf(environment: Environment): RegistryEntry[] {
  const named = environment.CONTAINERS_REGISTRIES_CONF
  const config = configFolder(environment)
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
    return readNamedFile(file).toString('utf8')
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

type Table = Readonly<Record<string, unknown>>

/** Throws REGISTRIES_CONF_INVALID, with the line for what is no TOML. What tables besides `[[registry]]` say is for other programs. */
export function parseRegistriesConf(text: string, file: string): RegistryEntry[] {
  const { registry = [] } = parseToml(text, file)
  return tables(registry, `${file}: registry`).map((table, index) => toEntry(table, `${file}: registry ${index + 1}`))
}

function parseToml(text: string, file: string): Table {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const [what = ''] = error.message.replace(/^Invalid TOML document: /, '').split('\n')
    throw invalid(`${file}:${error.line}:${error.column}: ${what}`)
  }
}

function toEntry(table: Table, place: string): RegistryEntry {
  const location = registryName(table, 'location', place)
  const prefix = registryName(table, 'prefix', place) ?? location
  if (prefix === undefined) throw invalid(`${place}: it has neither a location nor a prefix`)
  const digestOnly = flag(table, 'mirror-by-digest-only', place)
  const mirrors = tables(table.mirror ?? [], `${place}: mirror`).map((mirror, index) =>
    toMirror(mirror, digestOnly, `${place}, mirror ${index + 1}`),
  )
  return {
    prefix,
    location: location ?? (isWildcard(prefix) ? '' : prefix),
    insecure: flag(table, 'insecure', place),
    blocked: flag(table, 'blocked', place),
    ...(mirrors.length === 0 ? {} : { mirrors }),
  }
}

function toMirror(table: Table, digestOnly: boolean, place: string): Mirror {
  const location = registryName(table, 'location', place)
  if (location === undefined) throw invalid(`${place}: it has no location`)
  const serves = text(table, 'pull-from-mirror', place) || (digestOnly ? 'digest-only' : 'all')
  if (serves !== 'all' && serves !== 'digest-only' && serves !== 'tag-only') {
    throw invalid(`${place}: pull-from-mirror is ${JSON.stringify(serves)}, and must be "all", "digest-only" or "tag-only"`)
  }
  return { location, insecure: flag(table, 'insecure', place), serves }
}

/** A registry or a part of one, without the slashes at its end; one that is empty is not given. */
function registryName(table: Table, key: string, place: string): string | undefined {
  const given = text(table, key, place)
  if (given === undefined || given === '') return undefined
  if (/^https?:\/\//.test(given)) {
    throw invalid(`${place}: ${key} ${JSON.stringify(given)} is a URL; a registry is named without a scheme`)
  }
  const name = given.replace(/\/+$/, '')
  if (name === '') throw invalid(`${place}: ${key} ${JSON.stringify(given)} names no registry`)
  return name
}

function tables(value: unknown, place: string): Table[] {
  if (Array.isArray(value) && value.every((table) => typeof table === 'object' && table !== null)) return value
  throw invalid(`${place} is not a list of tables`)
}

function text(table: Table, key: string, place: string): string | undefined {
  const value = table[key]
  if (value === undefined || typeof value === 'string') return value
  throw invalid(`${place}: ${key} is not a text`)
}

function flag(table: Table, key: string, place: string): boolean {
  const value = table[key] ?? false
  if (typeof value === 'boolean') return value
  throw invalid(`${place}: ${key} is neither true nor false`)
}

function invalid(message: string): TbuildError {
  return new TbuildError('REGISTRIES_CONF_INVALID', message, {
    hint: 'containers-registries.conf(5) describes the file; CONTAINERS_REGISTRIES_CONF names another',
  })
}

/** `*.example.com`: every host below it. */
function isWildcard(prefix: string): boolean {
  return prefix.startsWith('*.')
}

function matchLength(prefix: string, name: string): number {
  if (isWildcard(prefix)) {
    const host = name.slice(0, name.indexOf('/'))
    return host.endsWith(prefix.slice(1)) ? prefix.length : -1
  }
  return name === prefix || name.startsWith(`${prefix}/`) ? prefix.length : -1
}

/** The endpoint of `domain/path`; the longest prefix wins. `insecure`: whatever its entry says. */
export function endpointOf(domain: string, path: string, entries: readonly RegistryEntry[], insecure = false): Endpoint {
  const { name, entry } = entryOf(domain, path, entries)
  if (entry === undefined || entry.location === '') return endpoint(name, insecure || entry?.insecure === true)
  return endpoint(rewritten(name, entry, entry.location), insecure || entry.insecure)
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
  const found = location + name.slice(isWildcard(prefix) ? name.indexOf('/') : prefix.length)
  if (!found.includes('/')) throw invalid(`${name} leads to ${found}, which names no repository`)
  return found
}

function endpoint(name: string, insecure: boolean): Endpoint {
  const slash = name.indexOf('/')
  const host = name.slice(0, slash)
  const loopback = kindOfHost(hostnameOf(host)) === 'loopback'
  return {
    host: host === 'docker.io' ? 'registry-1.docker.io' : host,
    path: name.slice(slash + 1),
    security: loopback ? 'loopback' : insecure ? 'either' : 'tls',
  }
}

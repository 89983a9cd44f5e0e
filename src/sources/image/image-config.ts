import { type Digest, isDigest } from '../../base/digest.ts'
import type { ContainerConfig, HealthConfig, History, ImageConfigFile } from '../../values/oci.ts'
import { invalid, type Members, membersOf, parseJson } from './json-object.ts'

/** The value as Go's type has it, where null is the zero value; undefined for one that Go cannot decode. */
type Read = (value: unknown) => unknown

const text: Read = (value) => (value === null ? '' : typeof value === 'string' ? value : undefined)
const flag: Read = (value) => (typeof value === 'boolean' ? value : undefined)
const integer: Read = (value) => (Number.isSafeInteger(value) ? value : undefined)
const texts: Read = (value) => (Array.isArray(value) ? allOf(value.map(text)) : undefined)
/** A `struct{}` has no members to keep. */
const empty: Read = (value) => (value === null || membersOf(value) !== undefined ? {} : undefined)
const time: Read = (value) => (typeof value === 'string' && isTime(value) ? value : undefined)
const mapOf =
  (member: Read): Read =>
  (value) => {
    const entries = [...(membersOf(value) ?? [['', undefined]])].map(([key, item]) => [key, item === undefined ? undefined : member(item)])
    return entries.some(([, item]) => item === undefined) ? undefined : Object.fromEntries(entries)
  }
/** Looked into by a parser of its own. */
const whole: Read = (value) => value

function allOf(values: readonly unknown[]): readonly unknown[] | undefined {
  return values.includes(undefined) ? undefined : values
}

/** Go's time.Time: RFC 3339 with seconds. */
function isTime(value: string): boolean {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)$/.exec(value)
  if (match === null) return false
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [number, number, number, number, number, number]
  // The last day of the month: day 0 of the next.
  const days = new Date(Date.UTC(year, month, 0)).getUTCDate()
  return month >= 1 && month <= 12 && day >= 1 && day <= days && hour < 24 && minute < 60 && second < 60
}

/** The types of Go's structs (docker-image-spec): what BuildKit could not decode is refused, and never met as another type later. */
const FILE: Readonly<Record<string, Read>> = {
  ...{ created: time, author: text, os: text, architecture: text, variant: text, 'os.version': text, 'os.features': texts },
  ...{ config: whole, history: whole, rootfs: whole },
}
const CONFIG: Readonly<Record<string, Read>> = {
  ...{ User: text, WorkingDir: text, StopSignal: text, ArgsEscaped: flag },
  ...{ Env: texts, Entrypoint: texts, Cmd: texts, OnBuild: texts, Shell: texts },
  ...{ Labels: mapOf(text), ExposedPorts: mapOf(empty), Volumes: mapOf(empty), Healthcheck: whole },
}
const HEALTHCHECK: Readonly<Record<string, Read>> = {
  ...{ Test: texts, Interval: integer, Timeout: integer, StartPeriod: integer, StartInterval: integer, Retries: integer },
}
const HISTORY: Readonly<Record<string, Read>> = { created: time, created_by: text, author: text, comment: text, empty_layer: flag }

/**
 * A base image's config. `layerCount` is the manifest's. The members that an engine acts on are read as Go reads them: names in any case, null for what is not
 * set. Others are kept as they are (I7). An image without a platform, as tools for artefacts make it, is one for Linux and no architecture. Throws MANIFEST_INVALID.
 */
export function parseImageConfig(bytes: Uint8Array, layerCount: number, what: string): ImageConfigFile {
  const { config, history, rootfs, os, architecture, ...rest } = setMembers(parseJson(bytes, what), FILE, '', what)
  return {
    ...rest,
    os: (os as string | undefined) || 'linux',
    architecture: (architecture as string | undefined) ?? '',
    ...(config === undefined ? {} : { config: parseContainer(config, what) }),
    ...(history === undefined ? {} : { history: parseHistory(history, what) }),
    rootfs: { type: 'layers', diff_ids: parseDiffIds(rootfs, layerCount, what) },
  }
}

function parseDiffIds(rootfs: unknown, layerCount: number, what: string): Digest[] {
  const diffIds = membersOf(rootfs)?.get('diff_ids') ?? []
  if (!Array.isArray(diffIds) || !diffIds.every(isDigest)) throw invalid(what, 'its rootfs.diff_ids are not a list of digests')
  if (diffIds.length !== layerCount) throw invalid(what, `it has ${layerCount} layers and ${diffIds.length} diff_ids`)
  return diffIds
}

function parseContainer(value: unknown, what: string): ContainerConfig {
  const members = membersOf(value)
  if (members === undefined) throw invalid(what, 'its config is not an object')
  const { Healthcheck: healthcheck, ...rest } = setMembers(members, CONFIG, 'config.', what)
  return { ...rest, ...(healthcheck === undefined ? {} : { Healthcheck: parseHealthcheck(healthcheck, what) }) }
}

function parseHealthcheck(value: unknown, what: string): HealthConfig {
  const members = membersOf(value)
  if (members === undefined) throw invalid(what, 'its config.Healthcheck has the wrong type')
  return setMembers(members, HEALTHCHECK, 'config.Healthcheck.', what)
}

function parseHistory(value: unknown, what: string): History[] {
  return (Array.isArray(value) ? value : [undefined]).map((entry) => {
    const members = entry === null ? new Map<string, unknown>() : membersOf(entry)
    if (members === undefined) throw invalid(what, 'its history is not a list of objects')
    return setMembers(members, HISTORY, 'history ', what)
  })
}

/** The members, the known ones read and by the names that Go gives them, without those that are null. */
function setMembers(members: Members, known: Readonly<Record<string, Read>>, place: string, what: string): Record<string, unknown> {
  const names = new Map(Object.keys(known).map((name) => [name.toLowerCase(), name]))
  const found = new Map<string, unknown>()
  for (const [written, value] of members) {
    const name = names.get(written.toLowerCase())
    if (name === undefined) found.set(written, value)
    if (name === undefined || value === null) continue
    const read = (known[name] as Read)(value)
    if (read === undefined) throw invalid(what, `its ${place}${name} has the wrong type`)
    found.set(name, read)
  }
  return Object.fromEntries(found)
}

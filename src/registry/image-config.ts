import { isDigest } from '../base/digest.ts'
import type { ImageConfigFile } from '../base/oci.ts'
import { invalid, type Members, membersOf, parseJson } from './json-object.ts'

type Check = (value: unknown) => boolean

const text: Check = (value) => typeof value === 'string'
const flag: Check = (value) => typeof value === 'boolean'
const integer: Check = (value) => Number.isSafeInteger(value)
const texts: Check = (value) => Array.isArray(value) && value.every(text)
const mapOf =
  (member: Check): Check =>
  (value) =>
    [...(membersOf(value)?.values() ?? [undefined])].every(member)
const empty: Check = (value) => value === null || membersOf(value) !== undefined

/** The types of Go's structs (docker-image-spec): what BuildKit could not decode is refused, and never met as another type later. */
const FILE: Readonly<Record<string, Check>> = { created: text, author: text, variant: text, 'os.version': text }
const CONFIG: Readonly<Record<string, Check>> = {
  ...{ User: text, WorkingDir: text, StopSignal: text, ArgsEscaped: flag },
  ...{ Env: texts, Entrypoint: texts, Cmd: texts, OnBuild: texts, Shell: texts },
  ...{ Labels: mapOf(text), ExposedPorts: mapOf(empty), Volumes: mapOf(empty) },
}
const HEALTHCHECK: Readonly<Record<string, Check>> = {
  ...{ Test: texts, Interval: integer, Timeout: integer, StartPeriod: integer, StartInterval: integer, Retries: integer },
}
const HISTORY: Readonly<Record<string, Check>> = { created: text, created_by: text, author: text, comment: text, empty_layer: flag }

/**
 * A base image's config. `layerCount` is the manifest's. The members that an engine acts on are checked; null stands for what is not set, and others are kept as
 * they are (I7). Throws MANIFEST_INVALID.
 */
export function parseImageConfig(bytes: Uint8Array, layerCount: number, what: string): ImageConfigFile {
  const members = parseJson(bytes, what)
  const diffIds = membersOf(members.get('rootfs'))?.get('diff_ids') ?? []
  for (const name of ['os', 'architecture']) {
    if (typeof members.get(name) !== 'string' || members.get(name) === '') throw invalid(what, `its config has no ${name}`)
  }
  if (!Array.isArray(diffIds) || !diffIds.every(isDigest)) throw invalid(what, 'its rootfs.diff_ids are not a list of digests')
  if (diffIds.length !== layerCount) throw invalid(what, `it has ${layerCount} layers and ${diffIds.length} diff_ids`)
  checkMembers(members, FILE, '', what)
  checkContainer(members.get('config') ?? {}, what)
  checkHistory(members.get('history') ?? [], what)
  return { ...(Object.fromEntries(members) as unknown as ImageConfigFile), rootfs: { type: 'layers', diff_ids: diffIds } }
}

function checkContainer(value: unknown, what: string): void {
  const config = membersOf(value)
  if (config === undefined) throw invalid(what, 'its config is not an object')
  checkMembers(config, CONFIG, 'config.', what)
  // CVE-2026-57231: an entry without = would be read from the builder's own environment.
  const env = (config.get('Env') ?? []) as readonly string[]
  if (!env.every((entry) => entry.indexOf('=') > 0)) throw invalid(what, 'its config.Env has an entry that is not NAME=value')
  const healthcheck = membersOf(config.get('Healthcheck') ?? {})
  if (healthcheck === undefined) throw invalid(what, 'its config.Healthcheck has the wrong type')
  checkMembers(healthcheck, HEALTHCHECK, 'config.Healthcheck.', what)
}

function checkHistory(value: unknown, what: string): void {
  for (const entry of Array.isArray(value) ? value : [undefined]) {
    const members = membersOf(entry)
    if (members === undefined) throw invalid(what, 'its history is not a list of objects')
    checkMembers(members, HISTORY, 'history ', what)
  }
}

function checkMembers(members: Members, checks: Readonly<Record<string, Check>>, place: string, what: string): void {
  for (const [name, check] of Object.entries(checks)) {
    const value = members.get(name)
    if (value !== undefined && value !== null && !check(value)) throw invalid(what, `its ${place}${name} has the wrong type`)
  }
}

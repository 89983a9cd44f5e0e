import { isDigest } from '../base/digest.ts'
import type { ContainerConfig, HealthConfig, History, ImageConfigFile } from '../base/oci.ts'
import { invalid, type Members, membersOf, parseJson } from './json-object.ts'

type Check = (value: unknown) => boolean

/** Looked into by a parser of its own. */
const whole: Check = () => true
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
const FILE: Readonly<Record<string, Check>> = {
  ...{ created: text, author: text, variant: text, 'os.version': text, 'os.features': texts },
  ...{ config: whole, history: whole },
}
const CONFIG: Readonly<Record<string, Check>> = {
  ...{ User: text, WorkingDir: text, StopSignal: text, ArgsEscaped: flag },
  ...{ Env: texts, Entrypoint: texts, Cmd: texts, OnBuild: texts, Shell: texts },
  ...{ Labels: mapOf(text), ExposedPorts: mapOf(empty), Volumes: mapOf(empty), Healthcheck: whole },
}
const HEALTHCHECK: Readonly<Record<string, Check>> = {
  ...{ Test: texts, Interval: integer, Timeout: integer, StartPeriod: integer, StartInterval: integer, Retries: integer },
}
const HISTORY: Readonly<Record<string, Check>> = { created: text, created_by: text, author: text, comment: text, empty_layer: flag }

/**
 * A base image's config. `layerCount` is the manifest's. The members that an engine acts on are checked, and left out where they are null: to Go that is
 * what is not set. Others are kept as they are (I7). Throws MANIFEST_INVALID.
 */
export function parseImageConfig(bytes: Uint8Array, layerCount: number, what: string): ImageConfigFile {
  const members = parseJson(bytes, what)
  const diffIds = membersOf(members.get('rootfs'))?.get('diff_ids') ?? []
  for (const name of ['os', 'architecture']) {
    if (typeof members.get(name) !== 'string' || members.get(name) === '') throw invalid(what, `its config has no ${name}`)
  }
  if (!Array.isArray(diffIds) || !diffIds.every(isDigest)) throw invalid(what, 'its rootfs.diff_ids are not a list of digests')
  if (diffIds.length !== layerCount) throw invalid(what, `it has ${layerCount} layers and ${diffIds.length} diff_ids`)
  const { config, history, ...rest } = setMembers(members, FILE, '', what)
  return {
    ...(rest as unknown as ImageConfigFile),
    ...(config === undefined ? {} : { config: parseContainer(config, what) }),
    ...(history === undefined ? {} : { history: parseHistory(history, what) }),
    rootfs: { type: 'layers', diff_ids: diffIds },
  }
}

function parseContainer(value: unknown, what: string): ContainerConfig {
  const members = membersOf(value)
  if (members === undefined) throw invalid(what, 'its config is not an object')
  const { Healthcheck: healthcheck, ...rest } = setMembers(members, CONFIG, 'config.', what)
  // CVE-2026-57231: an entry without = would be read from the builder's own environment.
  const env = (rest.Env ?? []) as readonly string[]
  if (!env.every((entry) => entry.indexOf('=') > 0)) throw invalid(what, 'its config.Env has an entry that is not NAME=value')
  return { ...rest, ...(healthcheck === undefined ? {} : { Healthcheck: parseHealthcheck(healthcheck, what) }) }
}

function parseHealthcheck(value: unknown, what: string): HealthConfig {
  const members = membersOf(value)
  if (members === undefined) throw invalid(what, 'its config.Healthcheck has the wrong type')
  return setMembers(members, HEALTHCHECK, 'config.Healthcheck.', what)
}

function parseHistory(value: unknown, what: string): History[] {
  return (Array.isArray(value) ? value : [undefined]).map((entry) => {
    const members = membersOf(entry)
    if (members === undefined) throw invalid(what, 'its history is not a list of objects')
    return setMembers(members, HISTORY, 'history ', what)
  })
}

/** The members, checked, without the known ones that are null. */
function setMembers(members: Members, checks: Readonly<Record<string, Check>>, place: string, what: string): Record<string, unknown> {
  const entries = [...members].filter(([name, value]) => value !== null || !Object.hasOwn(checks, name))
  for (const [name, value] of entries) {
    if (Object.hasOwn(checks, name) && checks[name]?.(value) === false) throw invalid(what, `its ${place}${name} has the wrong type`)
  }
  return Object.fromEntries(entries)
}

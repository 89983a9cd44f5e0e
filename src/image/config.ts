import type { Json } from '../base/canonical-json.ts'
import { escapeLikeGo, marshalSorted } from '../go/json.ts'
import type { ImageConfigFile } from '../values/oci.ts'

// The order of Go's structs (docker-image-spec): the only places where a config's keys are not sorted.
const CONFIG_ORDER = [
  ...['User', 'ExposedPorts', 'Env', 'Entrypoint', 'Cmd', 'Volumes', 'WorkingDir', 'Labels', 'StopSignal', 'ArgsEscaped'],
  ...['Healthcheck', 'OnBuild', 'Shell'],
]
const HEALTHCHECK_ORDER = ['Test', 'Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries']
const HISTORY_ORDER = ['created', 'created_by', 'author', 'comment', 'empty_layer']
const ROOTFS_ORDER = ['type', 'diff_ids']

type JsonObject = { readonly [key: string]: Json | undefined }

/**
 * I7: the config's bytes as BuildKit makes them. The top level is a Go map (sorted), what stands in it are structs (fixed order, empty members left out) and maps
 * (sorted). Members that nobody knows are kept, sorted behind the known ones.
 */
export function encodeConfig(file: ImageConfigFile): Buffer {
  const object = file as unknown as JsonObject
  const members = Object.keys(object)
    .filter((key) => object[key] !== undefined && object[key] !== '')
    .sort()
    .map((key) => `${encodeString(key)}:${encodeMember(key, object[key] as Json)}`)
  return Buffer.from(`{${members.join(',')}}`)
}

function encodeMember(key: string, value: Json): string {
  if (key === 'config' && isObject(value)) return encodeStruct(value, CONFIG_ORDER, { Healthcheck: HEALTHCHECK_ORDER })
  if (key === 'rootfs' && isObject(value)) return encodeStruct(value, ROOTFS_ORDER, {}, ['type', 'diff_ids'])
  if (key === 'history' && Array.isArray(value))
    return `[${value.map((entry) => encodeStruct(entry as JsonObject, HISTORY_ORDER)).join(',')}]`
  return marshalSorted(value)
}

/** A Go struct with `omitempty` on all members but `kept`. */
function encodeStruct(
  object: JsonObject,
  order: readonly string[],
  nested: Readonly<Record<string, readonly string[]>> = {},
  kept: readonly string[] = [],
): string {
  const unknown = Object.keys(object).filter((key) => !order.includes(key))
  const members: string[] = []
  for (const key of [...order, ...unknown.sort()]) {
    const value = object[key]
    if (value === undefined || (isEmpty(value) && order.includes(key) && !kept.includes(key))) continue
    const inner = nested[key]
    members.push(`${encodeString(key)}:${inner !== undefined && isObject(value) ? encodeStruct(value, inner) : marshalSorted(value)}`)
  }
  return `{${members.join(',')}}`
}

function encodeString(text: string): string {
  return escapeLikeGo(JSON.stringify(text))
}

function isObject(value: Json | undefined): value is JsonObject {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

/** What Go's omitempty leaves out. */
function isEmpty(value: Json): boolean {
  if (value === null || value === '' || value === false || value === 0) return true
  return Array.isArray(value) ? value.length === 0 : typeof value === 'object' && Object.keys(value).length === 0
}

import { readFileSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { TbuildError } from '../base/errors.ts'
import { parseGoDuration } from '../go/duration.ts'
import { parseByteSize } from '../values/byte-size.ts'
import type { Candidate, CollectRule } from './gc-selection.ts'
import type { StoreLayout } from './layout.ts'
import { ifPresent } from './store-error.ts'

/** When gc runs by itself, and what it takes. */
export interface GcPolicy {
  readonly enabled: boolean
  /** Milliseconds between two runs. */
  readonly interval: number
  readonly rules: readonly CollectRule[]
}

const HOUR = 3600_000
const GIB = 1024 ** 3

/**
 * BuildKit's defaults (docs/buildkitd.toml.md): cache mounts are the first to go, then what was not used for 60 days, then the least recently used above the
 * cap. Its fourth rule, for internal records, has no counterpart: what nothing refers to always goes.
 */
function defaultRules(disk: number): CollectRule[] {
  const reservedBytes = Math.min(disk * 0.1, 10 * GIB)
  return [
    { types: ['mount'], unusedFor: 48 * HOUR, keepBytes: 512 * 1024 ** 2 },
    { unusedFor: 60 * 24 * HOUR },
    { keepBytes: Math.min(disk * 0.6, 100 * GIB), minFree: disk * 0.2, reservedBytes },
  ]
}

/** The policy of the store: ROOT/gc.json, or the defaults. Throws GC_POLICY_INVALID. */
export function readGcPolicy(layout: StoreLayout): GcPolicy {
  const path = join(layout.root, 'gc.json')
  const text = ifPresent(() => readFileSync(path, 'utf8'))
  const { blocks, bsize } = statfsSync(layout.v1)
  return text === undefined
    ? { enabled: true, interval: HOUR, rules: defaultRules(blocks * bsize) }
    : parsePolicy(text, path, blocks * bsize)
}

/**
 * `{"enabled": true, "interval": "1h", "rules": [{"types": ["mount"], "unusedFor": "48h", "keepStorage": "512MB", "minFree": "20%", "reserved": "10GB"}]}`;
 * all members may be absent. Sizes are Docker's, or percents of the file system.
 */
export function parsePolicy(text: string, path: string, disk: number): GcPolicy {
  const policy = object(parseJson(text, path), path, ['enabled', 'interval', 'rules'])
  const { enabled = true, interval = '1h', rules } = policy
  if (typeof enabled !== 'boolean') throw invalid(path, 'enabled is true or false')
  if (rules !== undefined && !Array.isArray(rules)) throw invalid(path, 'rules is a list')
  return {
    enabled,
    interval: duration(interval, path, 'interval'),
    rules: rules === undefined ? defaultRules(disk) : rules.map((rule: unknown) => parseRule(rule, path, disk)),
  }
}

function parseRule(value: unknown, path: string, disk: number): CollectRule {
  const rule = object(value, path, ['types', 'unusedFor', 'keepStorage', 'minFree', 'reserved'])
  const bytes = (name: string) => (rule[name] === undefined ? undefined : size(rule[name], path, name, disk))
  const [keepBytes, minFree, reservedBytes] = [bytes('keepStorage'), bytes('minFree'), bytes('reserved')]
  return {
    ...(rule.types === undefined ? {} : { types: types(rule.types, path) }),
    ...(rule.unusedFor === undefined ? {} : { unusedFor: duration(rule.unusedFor, path, 'unusedFor') }),
    ...(keepBytes === undefined ? {} : { keepBytes }),
    ...(minFree === undefined ? {} : { minFree }),
    ...(reservedBytes === undefined ? {} : { reservedBytes }),
  }
}

function types(value: unknown, path: string): Candidate['type'][] {
  const all: unknown[] = Array.isArray(value) ? value : []
  const known = all.filter((type): type is Candidate['type'] => type === 'record' || type === 'mount' || type === 'image')
  if (all.length === 0 || known.length < all.length) throw invalid(path, 'types is a list of record, mount and image')
  return known
}

function duration(value: unknown, path: string, name: string): number {
  try {
    const milliseconds = Number(parseGoDuration(String(value)) / 1_000_000n)
    if (typeof value === 'string' && milliseconds >= 0) return milliseconds
  } catch {
    // Said below.
  }
  throw invalid(path, `${name} is a duration such as "48h"`)
}

function size(value: unknown, path: string, name: string, disk: number): number {
  const percent = /^(\d{1,2}|100)%$/.exec(String(value))
  if (percent !== null) return (disk * Number(percent[1])) / 100
  try {
    return parseByteSize(String(value))
  } catch {
    throw invalid(path, `${name} is a size such as "10GB" or "20%"`)
  }
}

function object(value: unknown, path: string, members: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(path, 'an object is expected')
  const foreign = Object.keys(value).find((name) => !members.includes(name))
  if (foreign !== undefined) throw invalid(path, `${JSON.stringify(foreign)} is none of ${members.join(', ')}`)
  return value as Record<string, unknown>
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw invalid(path, (error as Error).message)
  }
}

function invalid(path: string, why: string): TbuildError {
  return new TbuildError('GC_POLICY_INVALID', `${path}: ${why}`, { hint: 'docs/store.md describes the file' })
}

import { TbuildError } from '../base/errors.ts'
import type { Ulimit } from '../values/ulimit.ts'

/** RLIMIT_* of asm-generic/resource.h, by the names that `--ulimit` takes. */
const RESOURCES: Record<string, number> = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
}

const INFINITY = (1n << 64n) - 1n

export interface Rlimit {
  readonly resource: number
  readonly soft: bigint
  readonly hard: bigint
}

/** The hard limits of this process, from /proc/self/limits. */
export type HardLimits = Readonly<Record<'nofile' | 'core', bigint>>

/** Reads what `pinnedLimits` needs from the text of /proc/self/limits. */
export function parseHardLimits(text: string): HardLimits {
  const hard = (label: string): bigint => {
    const value = new RegExp(`^${label}\\s+\\S+\\s+(\\S+)`, 'm').exec(text)?.[1]
    return value === undefined || value === 'unlimited' ? INFINITY : BigInt(value)
  }
  return { nofile: hard('Max open files'), core: hard('Max core file size') }
}

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b)

/**
 * R6: a result must not depend on the caller's shell. Open files are dockerd's 1024 under systemd, with a hard limit that programs may raise themselves to; a
 * crash writes no core file into the layer. `--ulimit` replaces the pin of its name. -1 is unlimited.
 */
export function rlimits(asked: readonly Ulimit[], host: HardLimits): Rlimit[] {
  const limits = new Map<number, Rlimit>()
  const nofile = least(524288n, host.nofile)
  limits.set(7, { resource: 7, soft: least(1024n, nofile), hard: nofile })
  limits.set(4, { resource: 4, soft: 0n, hard: host.core })
  for (const { name, soft, hard } of asked) {
    const resource = RESOURCES[name]
    if (resource === undefined) {
      throw new TbuildError('ULIMIT_INVALID', `invalid ulimit type: ${name}`, { hint: `one of ${Object.keys(RESOURCES).join(', ')}` })
    }
    limits.set(resource, { resource, soft: amount(soft), hard: amount(hard) })
  }
  return [...limits.values()]
}

const amount = (value: number): bigint => (value < 0 ? INFINITY : BigInt(value))

import { readFileSync } from 'node:fs'
import { freemem, totalmem } from 'node:os'
import { steadyMilliseconds } from '../base/clock.ts'
import { type CpuQuota, cpuQuotas } from './cpu-quota.ts'

/** What a step may come to need, which is not known before it runs. */
const STEP_MEMORY = 256 * 1024 * 1024
/** The share of the memory that stays free for what runs already, and for others. */
const KEPT_MEMORY = 1 / 4
/** The share of the time in which the processors have to have had nothing to do. */
const IDLE = 1 / 2

/** What a machine says of itself. */
export interface MachineState {
  /** Ticks since the start of the machine: of all processors together, and those in which they had nothing to do and waited for no disk. */
  readonly ticks: number
  readonly idle: number
  /** Microseconds of a clock that never goes back. */
  readonly time: number
  /** What our container may use of the processors, where it is limited. */
  readonly quotas: readonly CpuQuota[]
  /** Bytes that can be had without swapping, within the limits of our container. */
  readonly available: number
  readonly total: number
}

/** Whether more steps, at most `atOnce` a look, would find something to run on: those that run may only wait, for a server or for each other. */
export class SpareMachine {
  readonly #look: () => MachineState | undefined
  readonly #atOnce: number
  #last: MachineState | undefined

  constructor(look: () => MachineState | undefined, atOnce: number) {
    this.#look = look
    this.#atOnce = atOnce
  }

  /** How many more steps may begin now, by what the machine did since the last call; 0 at the first one, and where the machine does not tell. */
  steps(): number {
    const [before, now] = [this.#last, this.#look()]
    this.#last = now
    if (before === undefined || now === undefined || now.ticks <= before.ticks) return 0
    if ((now.idle - before.idle) / (now.ticks - before.ticks) < IDLE) return 0
    if (!now.quotas.every((quota) => hasLeft(quota, before, now.time))) return 0
    const memory = Math.floor((now.available - KEPT_MEMORY * now.total) / STEP_MEMORY)
    return Math.min(this.#atOnce, Math.max(0, memory))
  }

  /** It was not looked at for a while. */
  forget(): void {
    this.#last = undefined
  }
}

/** A quota that was not there at the last look may be used up. */
function hasLeft({ group, processors, used }: CpuQuota, before: MachineState, time: number): boolean {
  const known = before.quotas.find((quota) => quota.group === group)
  return known !== undefined && used - known.used <= (1 - IDLE) * processors * (time - before.time)
}

export function thisMachine(): MachineState | undefined {
  const stat = readText('/proc/stat')
  return stat === undefined ? undefined : machineState(stat, cpuQuotas(readText))
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}

/** Exported for its test. `text`: of /proc/stat. */
export function machineState(text: string, quotas: readonly CpuQuota[]): MachineState | undefined {
  // user nice system idle iowait irq softirq steal; what guests had is in user and nice already.
  const ticks = /^cpu +(.*)$/m.exec(text)?.[1]?.split(' ').slice(0, 8).map(Number)
  if (ticks === undefined || ticks.length < 4 || ticks.some(Number.isNaN)) return undefined
  const limit = process.constrainedMemory?.() ?? 0
  return {
    ticks: ticks.reduce((sum, count) => sum + count, 0),
    idle: ticks[3] as number,
    time: steadyMilliseconds() * 1000,
    quotas,
    available: process.availableMemory?.() ?? freemem(),
    total: limit > 0 ? Math.min(limit, totalmem()) : totalmem(),
  }
}

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { descendants } from '../test/support/processes.ts'

/** The kernel counts processor time in /proc in hundredths of a second. */
const TICKS = 100

/**
 * A builder's daemon, read from /proc: the command line of such a builder does little itself. What a RUN took is in it as far as the daemon waited for its
 * processes; what others ask of the daemon meanwhile is in it, too.
 */
export class Daemon {
  readonly #pid: number

  constructor(pid: number) {
    this.#pid = pid
  }

  #processes(): number[] {
    return [this.#pid, ...descendants(this.#pid).map(({ pid }) => pid)]
  }

  /** Lets the peaks of memory begin anew. False where that is not allowed: they are those since the daemon's start. */
  resetPeaks(): boolean {
    return this.#processes().map(resetPeak).every(Boolean)
  }

  /** Seconds of processors so far. */
  processors(): number {
    return sum(this.#processes().map(processorsOf))
  }

  /** Bytes: the peaks of its processes added up. */
  memory(): number {
    return sum(this.#processes().map(peakOf))
  }
}

/** The only process of this machine whose program has that name. */
export function processNamed(name: string): number | undefined {
  const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry) && read(`/proc/${entry}/comm`)?.trim() === name)
  return pids.length === 1 ? Number(pids[0]) : undefined
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    // The process has ended.
    return undefined
  }
}

/** Seconds of a process and of those that it waited for: utime, stime, cutime and cstime of proc(5). */
function processorsOf(pid: number): number {
  const stat = read(`/proc/${pid}/stat`)
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? []
  return sum(fields.slice(11, 15).map(Number)) / TICKS
}

/** From now on its peak is what it has now. */
function resetPeak(pid: number): boolean {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5')
    return true
  } catch {
    return false
  }
}

function peakOf(pid: number): number {
  const [, kibibytes = '0'] = /^VmHWM:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`) ?? '') ?? []
  return Number(kibibytes) * 1024
}

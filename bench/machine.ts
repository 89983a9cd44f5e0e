import { execFileSync } from 'node:child_process'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'

/** What numbers of two machines differ by. `folder`: where the builds are. */
export function machineOf(folder: string, now: Date): Record<string, string> {
  return {
    date: now.toISOString().slice(0, 10),
    processor: `${availableParallelism()} × ${cpus()[0]?.model.trim() || process.arch}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: release(),
    'file system': execFileSync('stat', ['-f', '-c', '%T', folder], { encoding: 'utf8' }).trim(),
    node: process.version,
    // Other work on the machine makes every figure worth less.
    'load average before': (loadavg()[0] as number).toFixed(1),
  }
}

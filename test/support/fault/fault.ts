import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Finished } from '../cli.ts'

const root = join(import.meta.dirname, '../../..')
/** A built copy that stays as it is during a long run. */
export const tbuildBin = process.env.TBUILD_BIN ?? join(root, 'bin/tbuild.js')

/** What goes wrong at which of the system calls that write below `root`, counted from 1; see fault.c. */
export interface Fault {
  readonly root: string
  readonly at?: number
  /** SIGKILL, or the errno that the call fails with. */
  readonly action?: 'kill' | number
  /** The calls after it fail too. */
  readonly stay?: boolean
  /** Receives how many calls there were. */
  readonly count?: string
}

let library: string | undefined

/** Compiles the shim; undefined where there is no C compiler or no glibc to preload into. */
export function faultLibrary(): string {
  if (library !== undefined) return library
  const source = join(import.meta.dirname, 'fault.c')
  const folder = join(tmpdir(), `tbuild-fault-${process.getuid?.() ?? 0}`)
  const path = join(folder, 'fault.so')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  if (!existsSync(path) || statSync(path).mtimeMs < statSync(source).mtimeMs) {
    const args = ['-std=gnu11', '-Wall', '-Wextra', '-Werror', '-O2', '-shared', '-fPIC', '-o', path, source, '-ldl']
    const { status, stderr } = spawnSync(process.env.CC ?? 'cc', args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(`cannot compile ${source}: ${stderr}`)
  }
  library = path
  return path
}

/** Runs tbuild to its end; `signal` is what killed it. */
export function runTbuild(args: readonly string[], fault?: Fault): Promise<Finished & { signal: NodeJS.Signals | null }> {
  const env: NodeJS.ProcessEnv = { ...process.env, NODE_EXTRA_CA_CERTS: undefined }
  if (fault !== undefined) Object.assign(env, variables(fault))
  const child = spawn(process.execPath, [tbuildBin, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const out: Buffer[] = []
  const err: Buffer[] = []
  child.stdout.on('data', (data: Buffer) => out.push(data))
  child.stderr.on('data', (data: Buffer) => err.push(data))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status, signal) =>
      resolve({ status, signal, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }),
    )
  })
}

function variables(fault: Fault): NodeJS.ProcessEnv {
  return {
    LD_PRELOAD: faultLibrary(),
    FAULT_ROOT: fault.root,
    ...(fault.at === undefined ? {} : { FAULT_AT: String(fault.at) }),
    ...(fault.action === undefined ? {} : { FAULT_DO: String(fault.action) }),
    ...(fault.stay === true ? { FAULT_STAY: '1' } : {}),
    ...(fault.count === undefined ? {} : { FAULT_COUNT: fault.count }),
  }
}

/** How many of the counted calls a run makes. */
export async function countCalls(args: readonly string[], folder: string): Promise<number> {
  const count = `${folder}.count`
  const { status, stderr } = await runTbuild(args, { root: folder, count })
  if (status !== 0) throw new Error(stderr)
  const calls = Number(readFileSync(count, 'utf8'))
  rmSync(count)
  return calls
}

/** `wanted` of 1…total, evenly spread from a random one on; all of them when that is more. */
export function spread(total: number, wanted: number): number[] {
  if (wanted >= total) return Array.from({ length: total }, (_, index) => index + 1)
  const step = total / wanted
  const offset = Math.random() * step
  return Array.from({ length: wanted }, (_, index) => Math.floor(offset + index * step) + 1)
}

/** Runs `task` for each item, `jobs` at once; all failures are collected. */
export async function forEach<T>(items: readonly T[], jobs: number, task: (item: T) => Promise<void>): Promise<string[]> {
  const failures: string[] = []
  const queue = [...items]
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
      try {
        await task(item)
      } catch (error) {
        failures.push(`${JSON.stringify(item)}: ${(error as Error).message}`)
      }
    }
  }
  await Promise.all(Array.from({ length: jobs }, worker))
  return failures
}

import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { TbuildError } from '../base/errors.ts'
import { pump } from '../base/pump.ts'
import { nativeFolder } from '../base/sys.ts'
import { type HostFacts, hostFacts } from './host.ts'
import { OutputFrames } from './output-frames.ts'
import { makePlan } from './plan.ts'
import { parseFailure, setupHint } from './refused.ts'
import { withSocketProxies } from './socket-proxy.ts'
import type { ExecIo, ExecSpec, ExitStatus, Isolation, Sandbox } from './types.ts'
import { encodePlan } from './wire.ts'

export interface RunnerOptions {
  /**
   * Reads a regular file of a root, resolved inside it (symlinks never lead out); undefined when it is missing. Throws a TbuildError when it is
   * longer than `limit` bytes or not a regular file (W18).
   */
  readonly readRootFile: (rootfs: ExecSpec['rootfs'], path: string, limit: number) => Buffer | undefined
  /** Default: `build/runner` of this package. */
  readonly runner?: string
  /** Default: namespaces. */
  readonly isolation?: Isolation
  /** Default: this machine's. */
  readonly host?: HostFacts
}

/** The sandbox that the embedded runner carries out: one short-lived process tree a RUN, all of its mounts in namespaces of its own. */
export function createRunnerSandbox(options: RunnerOptions): Sandbox {
  const runner = options.runner ?? join(nativeFolder(), 'runner')
  return {
    async exec(spec, io, signal) {
      const read = (path: string, limit: number) => options.readRootFile(spec.rootfs, path, limit)
      return withSocketProxies(spec, (proxied) => {
        signal?.throwIfAborted()
        const plan = makePlan(proxied, options.host ?? hostFacts(), read, options.isolation)
        return runPlan([runner, options.isolation === 'chroot' ? 'chroot' : 'exec'], encodePlan(plan), io, signal)
      })
    },
  }
}

/** Spawns the runner, gives it the plan on stdin and keeps stdin open: its end tells the runner that we are gone. */
function runPlan(
  [runner, how]: readonly [string, 'exec' | 'chroot'],
  plan: Buffer,
  io: ExecIo,
  signal: AbortSignal | undefined,
): Promise<ExitStatus> {
  return new Promise((resolve, reject) => {
    // A process group of its own: Ctrl-C reaches us, and we end the run in order. No environment: RUN could read it (CVE-2021-3602).
    const child = spawn(runner, [how], { stdio: ['pipe', 'pipe', 'ignore', 'pipe'], env: {}, detached: true, cwd: '/' })
    const [stdin, output, , status] = child.stdio as unknown as [Writable, Readable, null, Readable]
    let report = ''
    const abort = () => {
      stdin.destroy()
      // Up to megabytes wait in the pipes when nobody has read: they would be shown first.
      output.destroy()
    }
    signal?.addEventListener('abort', abort, { once: true })
    const frames = new OutputFrames(io)
    pump(output, (data) => frames.push(data), signal)
    status.setEncoding('utf8').on('data', (text: string) => {
      report += text
    })
    // The runner may end before it has read everything; the reason stands on the status pipe.
    stdin.on('error', () => {})
    stdin.write(plan)
    child.on('error', (cause) => reject(missingRunner(runner, cause)))
    child.on('close', () => {
      signal?.removeEventListener('abort', abort)
      stdin.destroy()
      try {
        signal?.throwIfAborted()
        resolve(parseReport(report, child))
      } catch (error) {
        reject(error)
      }
    })
  })
}

function missingRunner(runner: string, cause: unknown): TbuildError {
  return new TbuildError('NATIVE_MISSING', `the runner ${runner} cannot be started: ${(cause as Error).message}`, {
    hint: 'run `node scripts/setup.mjs` in the folder of tbuild; it needs a C compiler (Debian: gcc, libc6-dev)',
    cause,
  })
}

const signalNames = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]))

/** `exit <code> <signal> <oom>` or `error <errno> <text>`; nothing at all when the runner itself was killed. An error of the command's own set-up is followed by an exit line. */
function parseReport(report: string, child: ChildProcess): ExitStatus {
  const error = parseFailure(report)
  const exit = /^exit (\d+) (\d+) ([01])$/m.exec(report)
  if (exit && !error) {
    const [, code, signal, oom] = exit.map(Number)
    const name = signalNames.get(signal as number)
    return { code: code as number, oomKilled: oom === 1, ...(name === undefined ? {} : { signal: name }) }
  }
  const failure = error ?? { errno: 0, text: `the runner ended early (${child.signalCode ?? child.exitCode})` }
  throw new TbuildError('SANDBOX_SETUP', `cannot set up the sandbox: ${failure.text}`, { hint: setupHint(failure), cause: failure })
}

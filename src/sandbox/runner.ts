import { constants } from 'node:os'
import { join } from 'node:path'
import { nativeFolder } from '../base/sys.ts'
import { type HostFacts, hostFacts } from './host.ts'
import { makePlan } from './plan.ts'
import { parseFailure } from './refused.ts'
import { RunnerServer, setupFailure } from './runner-server.ts'
import { withSocketProxies } from './socket-proxy.ts'
import type { ExecSpec, ExitStatus, Isolation, Sandbox } from './types.ts'
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

export interface RunnerSandbox extends Sandbox {
  /** Ends the process that stands ready for runs; the next run starts another one. */
  close(): Promise<void>
}

/** The sandbox that the embedded runner carries out: one short-lived process tree a RUN, all of its mounts in namespaces of its own. */
export function createRunnerSandbox(options: RunnerOptions): RunnerSandbox {
  const server = new RunnerServer(
    options.runner ?? join(nativeFolder(), 'runner'),
    options.isolation === 'chroot' ? 'serve-chroot' : 'serve',
  )
  return {
    async exec(spec, io, signal) {
      const read = (path: string, limit: number) => options.readRootFile(spec.rootfs, path, limit)
      return withSocketProxies(spec, async (proxied) => {
        signal?.throwIfAborted()
        const plan = makePlan(proxied, options.host ?? hostFacts(), read, options.isolation)
        return parseReport(await server.run(encodePlan(plan), io, signal))
      })
    },
    close: () => server.close(),
  }
}

const signalNames = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]))

/** `exit <code> <signal> <oom>` or `error <errno> <text>`; nothing at all when the runner itself was killed. An error of the command's own set-up is followed by an exit line. */
function parseReport(report: string): ExitStatus {
  const error = parseFailure(report)
  const exit = /^exit (\d+) (\d+) ([01])$/m.exec(report)
  if (exit && !error) {
    const [, code, signal, oom] = exit.map(Number)
    const name = signalNames.get(signal as number)
    return { code: code as number, oomKilled: oom === 1, ...(name === undefined ? {} : { signal: name }) }
  }
  throw setupFailure(error ?? { errno: 0, text: 'the runner was killed' })
}

import { type ChildProcess, spawn } from 'node:child_process'
import { Socket } from 'node:net'
import { TbuildError } from '../base/errors.ts'
import { pump } from '../base/pump.ts'
import { sys } from '../base/sys.ts'
import { OutputFrames } from './output-frames.ts'
import { type NamespaceFailure, setupHint } from './refused.ts'
import type { ExecIo } from './types.ts'

/** `serve`: every run in namespaces of its own; `serve-chroot`: in none. */
export type RunnerMode = 'serve' | 'serve-chroot'

interface Server {
  readonly child: ChildProcess
  /** Our end of its control socket. */
  readonly control: number
  /** Resolves to why it could not be started. */
  readonly ended: Promise<TbuildError | undefined>
}

/**
 * The runner as a process that stands beside this one and forks for each run (runner/server.h): a fork of this process, with all its memory, costs more than
 * everything else of a short RUN. It is started for the first run, once more after `close` or when somebody ended it, and ends with this process.
 */
export class RunnerServer {
  readonly #runner: string
  readonly #mode: RunnerMode
  #server: Server | undefined
  /** All that have not ended yet. */
  readonly #running = new Set<Server>()

  constructor(runner: string, mode: RunnerMode) {
    this.#runner = runner
    this.#mode = mode
  }

  /**
   * Gives a run its plan and hands on what it prints; resolves, when nothing is left of it, to what the runner reported: '' when the run's own runner was
   * killed. When `signal` aborts, the run is ended, and what it printed that nobody has read is dropped. Errors: NATIVE_MISSING, SANDBOX_SETUP.
   */
  async run(plan: Uint8Array, io: ExecIo, signal: AbortSignal | undefined): Promise<string> {
    const [ours, theirs] = socketPair()
    const socket = new Socket({ fd: ours })
    // The plan is on its way before anybody can have read the socket: a write after a refusal would fail, and take the reason with it.
    const told = talk(socket, plan, io, signal)
    told.catch(() => {})
    try {
      await this.#send(theirs)
    } catch (error) {
      socket.destroy()
      throw error
    } finally {
      sys().close(theirs)
    }
    return told
  }

  /** Ends the server when its runs have ended, and waits for its end, and for that of one which another call ends. */
  async close(): Promise<void> {
    if (this.#server !== undefined) this.#forget(this.#server)
    await Promise.all(
      [...this.#running].map(({ child, ended }) => {
        child.ref()
        return ended
      }),
    )
  }

  async #send(socket: number): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const server = this.#started()
      if (server.child.pid === undefined) throw await server.ended
      try {
        return sys().sendDescriptor(server.control, socket)
      } catch (cause) {
        // Somebody ended it.
        this.#forget(server)
        if (attempt === 2) throw setupFailure({ errno: Math.abs((cause as NodeJS.ErrnoException).errno ?? 0), text: String(cause) })
      }
    }
  }

  #started(): Server {
    this.#server ??= this.#start()
    return this.#server
  }

  #start(): Server {
    const [control, theirs] = socketPair()
    const child = this.#spawn(control, theirs)
    child.unref()
    const ended = new Promise<TbuildError | undefined>((resolve) => {
      child.once('exit', () => resolve(undefined))
      child.once('error', (cause) => resolve(missingRunner(this.#runner, cause)))
    })
    const server: Server = { child, control, ended }
    this.#running.add(server)
    void ended.then(() => {
      this.#running.delete(server)
      this.#forget(server)
    })
    return server
  }

  /** Closes their end, and ours too where no process has it. */
  #spawn(control: number, theirs: number): ChildProcess {
    try {
      // A process group of its own: Ctrl-C reaches us, and we end the runs in order. No environment: RUN could read it (CVE-2021-3602).
      return spawn(this.#runner, [this.#mode], { stdio: [theirs, 'ignore', 'ignore'], env: {}, detached: true, cwd: '/' })
    } catch (cause) {
      // What is no event of the child: no memory for it, for one.
      sys().close(control)
      throw missingRunner(this.#runner, cause)
    } finally {
      sys().close(theirs)
    }
  }

  #forget(server: Server): void {
    if (this.#server !== server) return
    this.#server = undefined
    sys().close(server.control)
  }
}

/** Ours and theirs. */
export function socketPair(): [number, number] {
  const ends = new Float64Array(2)
  sys().socketpair(ends)
  return [ends[0] as number, ends[1] as number]
}

/** Sends the plan over a run's socket and keeps it open: its end tells the runner that we are gone. */
function talk(socket: Socket, plan: Uint8Array, io: ExecIo, signal: AbortSignal | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const frames = new OutputFrames(io)
    const abort = () => {
      frames.mute()
      socket.end()
    }
    signal?.addEventListener('abort', abort, { once: true })
    pump(socket, (data) => frames.push(data), signal)
    // The runner may end before it has read everything; the reason has been read then.
    socket.on('error', () => {})
    socket.write(plan)
    socket.on('close', () => {
      signal?.removeEventListener('abort', abort)
      if (signal?.aborted) reject(signal.reason)
      else resolve(frames.status)
    })
  })
}

export function setupFailure(failure: NamespaceFailure): TbuildError {
  return new TbuildError('SANDBOX_SETUP', `cannot set up the sandbox: ${failure.text}`, { hint: setupHint(failure), cause: failure })
}

function missingRunner(runner: string, cause: unknown): TbuildError {
  return new TbuildError('NATIVE_MISSING', `the runner ${runner} cannot be started: ${(cause as Error).message}`, {
    hint: 'run `node scripts/setup.mjs` in the folder of tbuild; it needs a C compiler (Debian: gcc, libc6-dev)',
    cause,
  })
}

import { execFileSync, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { root } from './root.ts'

export interface Usage {
  readonly seconds: number
  readonly processors: number
  /** Bytes of the largest process. */
  readonly memory: number
}

/** A builder that failed: the others go on. */
export class Failure extends Error {}

/** Somebody ended the bench. */
export class Interrupted extends Error {}

// A setting that costs every start of Node time, whoever starts it.
const { NODE_EXTRA_CA_CERTS: _, ...environment } = process.env

const interpreter = { path: '' }

/** The program itself: where `python3` is a script that looks for it, that takes longer than many a build. */
function python(): string {
  interpreter.path ||= execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).trim()
  return interpreter.path
}

/** Milliseconds in which a command can end what it does. */
const PATIENCE = 10_000

/** Runs commands and measures them. What they print goes to files: a pipe would have them wait for its reader. */
export class Runner {
  readonly #stdout: string
  readonly #stderr: string
  readonly #timeout: number
  readonly #signal: AbortSignal

  /** `timeout`: seconds of one run. `files`: what the names of the two files begin with. */
  constructor(files: string, timeout: number, signal: AbortSignal) {
    this.#stdout = `${files}.stdout`
    this.#stderr = `${files}.stderr`
    this.#timeout = timeout
    this.#signal = signal
  }

  /** Runs commands at once. Throws Failure when one of them fails, Interrupted when the bench is ended meanwhile. */
  async together(commands: readonly (readonly string[])[]): Promise<Usage> {
    const words = (commands[0] as readonly string[]).join(' ')
    const { status, report } = await this.#run([python(), '-I', '-S', join(root, 'bench/usage.py'), JSON.stringify(commands)])
    if (status !== 0) throw this.#failure(words, status)
    const used = JSON.parse(report) as Usage & { statuses: readonly number[] }
    if (used.statuses.some((one) => one !== 0)) throw this.#failure(words, used.statuses.join(', '))
    return used
  }

  /** One after the other, as one piece of work. */
  async inTurn(commands: readonly (readonly string[])[]): Promise<Usage> {
    const used = { seconds: 0, processors: 0, memory: 0 }
    for (const command of commands) {
      const one = await this.together([command])
      used.seconds += one.seconds
      used.processors += one.processors
      used.memory = Math.max(used.memory, one.memory)
    }
    return used
  }

  /** What a command prints on standard output. Throws Failure when it fails. */
  async output(command: readonly string[]): Promise<string> {
    const { status } = await this.#run(command)
    if (status !== 0) throw this.#failure(command.join(' '), status)
    return this.printed()
  }

  /** What the last command printed on standard output. */
  printed(): string {
    return readFileSync(this.#stdout, 'utf8')
  }

  /** `report`: what it wrote to descriptor 3. */
  async #run(command: readonly string[]): Promise<{ status: number | null; report: string }> {
    if (this.#signal.aborted) throw new Interrupted()
    const late = AbortSignal.timeout(this.#timeout * 1000)
    const result = await this.#start(command, AbortSignal.any([this.#signal, late]))
    if (this.#signal.aborted) throw new Interrupted()
    if (late.aborted) throw new Failure(`not done after ${this.#timeout} s`)
    return result
  }

  async #start([program = '', ...args]: readonly string[], signal: AbortSignal): Promise<{ status: number | null; report: string }> {
    const [stdout, stderr] = [openSync(this.#stdout, 'w'), openSync(this.#stderr, 'w')]
    // A group of its own, so that all of it can be ended, and Ctrl-C reaches it when this process says so.
    const child = spawn(program, args, { stdio: ['ignore', stdout, stderr, 'pipe'], env: environment, detached: true })
    closeSync(stdout)
    closeSync(stderr)
    const ended = new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
    let killing: NodeJS.Timeout | undefined
    const stop = () => {
      endGroup(child.pid, 'SIGINT')
      killing = setTimeout(() => endGroup(child.pid, 'SIGKILL'), PATIENCE)
    }
    signal.addEventListener('abort', stop, { once: true })
    try {
      const [status, report] = await Promise.all([ended, text(child.stdio[3] as NodeJS.ReadableStream)])
      return { status, report }
    } finally {
      clearTimeout(killing)
      signal.removeEventListener('abort', stop)
    }
  }

  #failure(words: string, status: number | string | null): Failure {
    return new Failure(`${words}: ${status}\n${this.#lastLines()}`)
  }

  #lastLines(): string {
    return readFileSync(this.#stderr, 'utf8').trimEnd().split('\n').slice(-8).join('\n')
  }
}

function endGroup(leader: number | undefined, signal: NodeJS.Signals): void {
  if (leader === undefined) return
  try {
    process.kill(-leader, signal)
  } catch (error) {
    // All of it has ended.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

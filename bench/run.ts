import { spawn } from 'node:child_process'
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
    if (this.#signal.aborted) throw new Interrupted()
    const { status, report, isLate } = await this.#start(commands)
    if (this.#signal.aborted) throw new Interrupted()
    const used = report === '' ? undefined : (JSON.parse(report) as Usage & { statuses: readonly number[] })
    if (isLate) throw new Failure(`not done after ${this.#timeout} s`)
    if (used === undefined || status !== 0 || used.statuses.some((one) => one !== 0))
      throw new Failure(`${(commands[0] as readonly string[]).join(' ')}: ${used?.statuses.join(', ') ?? status}\n${this.#lastLines()}`)
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
    await this.together([command])
    return readFileSync(this.#stdout, 'utf8')
  }

  async #start(commands: readonly (readonly string[])[]): Promise<{ status: number | null; report: string; isLate: boolean }> {
    const [stdout, stderr] = [openSync(this.#stdout, 'w'), openSync(this.#stderr, 'w')]
    // A group of its own, so that all of it can be ended, and Ctrl-C reaches it when this process says so.
    const child = spawn('python3', [join(root, 'bench/usage.py'), JSON.stringify(commands)], {
      stdio: ['ignore', stdout, stderr, 'pipe'],
      env: environment,
      detached: true,
    })
    closeSync(stdout)
    closeSync(stderr)
    let isLate = false
    const end = (signal: NodeJS.Signals) => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, signal)
    }
    const stop = () => {
      end('SIGINT')
      setTimeout(end, 10_000, 'SIGKILL').unref()
    }
    const timer = setTimeout(() => {
      isLate = true
      stop()
    }, this.#timeout * 1000)
    this.#signal.addEventListener('abort', stop, { once: true })
    try {
      const ended = new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
      const report = await text(child.stdio[3] as NodeJS.ReadableStream)
      return { status: await ended, report, isLate }
    } finally {
      clearTimeout(timer)
      this.#signal.removeEventListener('abort', stop)
    }
  }

  #lastLines(): string {
    return readFileSync(this.#stderr, 'utf8').trimEnd().split('\n').slice(-8).join('\n')
  }
}

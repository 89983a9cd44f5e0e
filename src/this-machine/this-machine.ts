import { createReadStream, statSync } from 'node:fs'
import type { Environment } from '../base/environment.ts'
import { errorCode, TbuildError } from '../base/errors.ts'
import type { Progress } from '../base/events.ts'
import { readCapped } from '../base/read-capped.ts'
import { untilTaken } from '../base/until-taken.ts'
import type { BuildHooks, BuildOptions } from '../build-options.ts'
import {
  type Agent,
  type Caller,
  type CallerDirectory,
  type DirectorySink,
  type FileMark,
  type NoDirectory,
  SECRET_LIMIT,
  type Sink,
  type SinkTarget,
} from '../caller/caller.ts'
import type { HostCredentials } from '../caller/credentials.ts'
import { openNamedFile } from '../values/named-file.ts'
import { inDirectory, withHome } from './environment.ts'
import { absolutePath } from './working-directory.ts'

/** What of the options is the caller's to answer. */
export type OwnOptions = Pick<BuildOptions, 'environment' | 'workingDirectory' | 'stdin' | 'secrets' | 'ssh'>

/** The caller of the command line and of the library: this process and this machine's files. */
export class ThisMachine implements Caller {
  readonly environment: Environment
  readonly stdin: AsyncIterable<Uint8Array> | undefined
  readonly progress: Progress
  readonly #options: OwnOptions
  readonly #stdout: BuildHooks['stdout']
  readonly #agents = new Map<string | undefined, Promise<Agent | undefined>>()

  constructor(options: OwnOptions, { onEvent = () => {}, signal = new AbortController().signal, stdout }: BuildHooks = {}) {
    this.#options = options
    const { environment = process.env, workingDirectory } = options
    this.environment = withHome(workingDirectory === undefined ? environment : inDirectory(environment, this.path))
    this.stdin = options.stdin
    this.progress = { onEvent, signal }
    this.#stdout = stdout
  }

  /** A path as the caller writes it, absolute. Errors: WORKING_DIRECTORY. */
  readonly path = (text: string): string => absolutePath(text, this.#options.workingDirectory)

  get workingDirectory(): string {
    return this.path('.')
  }

  /** All of it, whatever is wanted. */
  async directory(name: string): Promise<CallerDirectory | NoDirectory> {
    const path = this.path(name)
    // Where a file is on the way to it nothing is there.
    const found = ifThere(() => statSync(path))
    if (found === undefined) return 'missing'
    return found.isDirectory() ? { path, identity: path } : 'other'
  }

  /** As a stream: it may be a pipe of the shell's. Errors: NOT_A_FILE. */
  async file(path: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    const fd = ifThere(() => openNamedFile(path))
    return fd === undefined ? undefined : createReadStream('', { fd })
  }

  async sink(target: SinkTarget, signal: AbortSignal): Promise<Sink> {
    if (target.kind === 'docker') {
      const { dockerSink } = await import('./docker-load.ts')
      return dockerSink({ environment: this.environment, context: target.context, signal })
    }
    if (target.name === '-') return this.#standardOutput(signal)
    return (await import('../store/file-sink.ts')).fileSink(this.path(target.name))
  }

  async renewed(name: string, mark: FileMark): Promise<FileMark | undefined> {
    return (await import('../store/file-mark.ts')).renewMark(this.path(name), mark)
  }

  /** Files are written where they belong at once, so that nothing is to be done at the end; what is in the way of one is another matter. */
  async directorySink(name: string): Promise<DirectorySink> {
    return { path: this.path(name), async commit() {}, async abort() {} }
  }

  async secret(id: string): Promise<Uint8Array | undefined> {
    const source = this.#options.secrets?.findLast((one) => one.id === id)?.source
    if (source === undefined) return undefined
    if ('file' in source) return this.#readSecret(id, source.file)
    const value = (this.#options.environment ?? process.env)[source.env]
    return value === undefined ? undefined : Buffer.from(value)
  }

  agent(id: string | undefined): Promise<Agent | undefined> {
    let agent = this.#agents.get(id)
    if (agent === undefined) {
      agent = this.#openAgent(id)
      this.#agents.set(id, agent)
    }
    return agent
  }

  async credentials(host: string, signal?: AbortSignal): Promise<HostCredentials> {
    const { findLogins } = await import('./docker-config.ts')
    return findLogins(host, this.environment, signal)
  }

  #standardOutput(signal: AbortSignal): Sink {
    const stdout = this.#stdout
    if (stdout === undefined) throw new TbuildError('OUTPUT_STDOUT', 'an output goes to standard output, but the caller takes none')
    return {
      async write(data) {
        await untilTaken(stdout(data), signal)
        signal.throwIfAborted()
      },
      async commit() {},
      async abort() {},
    }
  }

  async #readSecret(id: string, path: string): Promise<Buffer> {
    const file = await this.file(this.path(path))
    if (file === undefined) throw new TbuildError('SECRET_FILE', `the file of secret ${id} is not there: ${path}`)
    const value = await readCapped(file, SECRET_LIMIT)
    if (value === undefined) throw new TbuildError('SECRET_TOO_LARGE', `secret ${id} is larger than ${SECRET_LIMIT} bytes`)
    return value
  }

  async #openAgent(id: string | undefined): Promise<Agent | undefined> {
    const { SSH_AUTH_SOCK } = this.environment
    if (id === undefined) return SSH_AUTH_SOCK ? (await import('./ssh-agent.ts')).socketAgent(this.path(SSH_AUTH_SOCK)) : undefined
    const [spec, ...others] = this.#options.ssh?.filter((one) => one.id === id) ?? []
    return spec && (await import('./ssh-agent.ts')).openAgent(spec, others.length > 0, this)
  }
}

function ifThere<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTDIR') throw error
    return undefined
  }
}

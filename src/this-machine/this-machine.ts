import { createReadStream } from 'node:fs'
import type { Environment } from '../base/environment.ts'
import { errorCode, TbuildError } from '../base/errors.ts'
import type { Progress } from '../base/events.ts'
import { readCapped } from '../base/read-capped.ts'
import type { BuildHooks, BuildOptions } from '../build-options.ts'
import { type Agent, type Caller, SECRET_LIMIT } from '../caller/caller.ts'
import type { HostCredentials } from '../caller/credentials.ts'
import { openNamedFile } from '../values/named-file.ts'
import { withHome } from './environment.ts'
import { absolutePath } from './working-directory.ts'

/** What of the options is the caller's to answer. */
export type OwnOptions = Pick<BuildOptions, 'environment' | 'workingDirectory' | 'stdin' | 'secrets' | 'ssh'>

/** The caller of the command line and of the library: this process and this machine's files. */
export class ThisMachine implements Caller {
  readonly environment: Environment
  readonly stdin: AsyncIterable<Uint8Array> | undefined
  readonly progress: Progress
  readonly #options: OwnOptions
  readonly #agents = new Map<string | undefined, Promise<Agent | undefined>>()

  constructor(options: OwnOptions, { onEvent = () => {}, signal = new AbortController().signal }: BuildHooks = {}) {
    this.environment = withHome(options.environment ?? process.env)
    this.stdin = options.stdin
    this.progress = { onEvent, signal }
    this.#options = options
  }

  /** A path as the caller writes it, absolute. Errors: WORKING_DIRECTORY. */
  readonly path = (text: string): string => absolutePath(text, this.#options.workingDirectory)

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

  async #readSecret(id: string, file: string): Promise<Buffer> {
    try {
      // As a stream: it may be a pipe.
      const value = await readCapped(createReadStream('', { fd: openNamedFile(this.path(file)) }), SECRET_LIMIT)
      if (value === undefined) throw new TbuildError('SECRET_TOO_LARGE', `secret ${id} is larger than ${SECRET_LIMIT} bytes`)
      return value
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error
      throw new TbuildError('SECRET_FILE', `the file of secret ${id} is not there: ${file}`)
    }
  }

  async #openAgent(id: string | undefined): Promise<Agent | undefined> {
    const { SSH_AUTH_SOCK } = this.environment
    if (id === undefined) return SSH_AUTH_SOCK ? (await import('./ssh-agent.ts')).socketAgent(this.path(SSH_AUTH_SOCK)) : undefined
    const [spec, ...others] = this.#options.ssh?.filter((one) => one.id === id) ?? []
    return spec && (await import('./ssh-agent.ts')).openAgent(spec, others.length > 0, this)
  }
}

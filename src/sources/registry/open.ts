import type { RegistryClient } from './client.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** The registries of one session, with the logins, proxies and registries.conf of its environment. Code and connections are those of the first who asks. */
export class Registries {
  readonly #environment: Environment
  #client: Promise<RegistryClient> | undefined

  constructor(environment: Environment) {
    this.#environment = environment
  }

  client(): Promise<RegistryClient> {
    this.#client ??= import('./client.ts').then(({ RegistryClient: Client }) => new Client({ environment: this.#environment }))
    return this.#client
  }

  /** Ends all connections, also those in use. */
  async close(): Promise<void> {
    await (await this.#client)?.close()
  }
}

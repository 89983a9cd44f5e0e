import type { RegistryCaller, RegistryClient } from './client.ts'

/** The registries of one session, as its caller reaches them. Code and connections are those of the first who asks. */
export class Registries {
  readonly #caller: RegistryCaller
  #client: Promise<RegistryClient> | undefined

  constructor(caller: RegistryCaller) {
    this.#caller = caller
  }

  client(): Promise<RegistryClient> {
    this.#client ??= import('./client.ts').then(({ RegistryClient: Client }) => new Client({ caller: this.#caller }))
    return this.#client
  }

  /** Ends all connections, also those in use. */
  async close(): Promise<void> {
    await (await this.#client)?.close()
  }
}

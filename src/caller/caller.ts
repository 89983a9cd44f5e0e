import type { Environment } from '../base/environment.ts'
import type { Progress } from '../base/events.ts'
import type { HostCredentials } from './credentials.ts'

/**
 * All that a build asks whoever wants it. The command line's and the library's is this machine (`src/this-machine`); a server's is the client at the other end.
 * Nothing else of the engine looks at the process: its environment, its working directory, its standard streams, its user's home.
 */
export interface Caller {
  /** With HOME. For proxies, certificates and registries.conf, and for the programs that are run for the caller: git and docker. */
  readonly environment: Environment
  /** What reads as `-`. */
  readonly stdin: AsyncIterable<Uint8Array> | undefined
  readonly progress: Progress
  /** At most SECRET_LIMIT bytes; undefined when there is none of that id. Asked when a step wants it, and kept nowhere. */
  secret(id: string): Promise<Uint8Array | undefined>
  /** Undefined when there is none of that id; without an id the agent that the caller uses itself. What is wrong with one is said now. */
  agent(id: string | undefined): Promise<Agent | undefined>
  /** Asked once a host, when a registry wants to know who asks. `host` as references have it: docker.io, 127.0.0.1:5000. */
  credentials(host: string, signal?: AbortSignal): Promise<HostCredentials>
}

/** BuildKit's limit of a secret. Bytes. */
export const SECRET_LIMIT = 500 * 1024

/** An agent of ssh keys. It need not refuse anything: only what a step may ask is handed on. */
export interface Agent {
  connect(): Promise<AgentConnection>
}

interface AgentConnection {
  /** One request and its answer, both without their lengths (draft-ietf-sshm-ssh-agent, section 3). Rejects when the agent is gone. */
  ask(request: Buffer): Promise<Buffer>
  close(): void
}

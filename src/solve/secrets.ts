import type { BuildOptions } from '../build-options.ts'
import type { Caller } from '../caller/caller.ts'
import type { SecretProvider } from '../ops/types.ts'
import type { AgentSockets } from '../ssh/agents.ts'

export interface Secrets extends SecretProvider {
  /** The socket of the agent that the caller uses itself. */
  ownAgent(): Promise<string | undefined>
  /** Ends the sockets. */
  close(): void
}

/** Secrets and agents of the caller, for who may have them. `temporary` is a free path of the store. */
export function openSecrets({ allow = [] }: Pick<BuildOptions, 'allow'>, caller: Caller, temporary: () => string): Secrets {
  let sockets: AgentSockets | undefined
  const socketOf = async (id: string | undefined) => {
    const agent = await caller.agent(id)
    if (agent === undefined) return undefined
    const { AgentSockets: Sockets } = await import('../ssh/agents.ts')
    sockets ??= new Sockets(temporary)
    return sockets.path(JSON.stringify([id]), agent)
  }
  const withholds: Secrets['withholds'] = (kind, { triggerOf }) =>
    triggerOf !== undefined && !allow.includes(kind === 'secret' ? 'onbuild.secrets' : 'onbuild.ssh')
  return {
    withholds,
    secret: async (id, asker) => (withholds('secret', asker) ? undefined : caller.secret(id)),
    ssh: async (id, asker) => (withholds('ssh', asker) ? undefined : socketOf(id)),
    ownAgent: () => socketOf(undefined),
    close: () => sockets?.close(),
  }
}

import { closeSync, mkdirSync, openSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { SharedWork } from '../base/shared-work.ts'
import type { Agent } from '../caller/caller.ts'
import { serveClient } from './agent.ts'

/** Sockets of the caller's agents, which list and use keys and do nothing else. `temporary` is a free path that goes when the build is killed; they lie there. */
export class AgentSockets {
  readonly #temporary: () => string
  readonly #listening = new SharedWork<string, Listening>()
  readonly #begun: Promise<Listening>[] = []

  constructor(temporary: () => string) {
    this.#temporary = temporary
  }

  /** The path of the socket of an agent; one an id. */
  async path(id: string, agent: Agent): Promise<string> {
    const { path } = await this.#listening.of(id, () => {
      const listening = listen(agent, this.#temporary())
      this.#begun.push(listening)
      return listening
    })
    return path
  }

  close(): void {
    for (const listening of this.#begun) listening.then(({ close }) => close()).catch(() => {})
  }
}

interface Listening {
  readonly path: string
  close(): void
}

async function listen(agent: Agent, folder: string): Promise<Listening> {
  const clients = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (client) => {
    clients.add(client)
    client.on('close', () => clients.delete(client))
    void serve(agent, client)
  })
  const { fd, remove } = openFolder(folder)
  try {
    await bind(server, `/proc/self/fd/${fd}/agent`)
  } catch (error) {
    remove()
    throw error
  }
  server.unref()
  return {
    // A socket's name is at most 107 bytes. git and its ssh are other processes, so it goes through this one.
    path: `/proc/${process.pid}/fd/${fd}/agent`,
    close() {
      server.close()
      for (const client of clients) client.destroy()
      remove()
    },
  }
}

function openFolder(folder: string): { readonly fd: number; remove(): void } {
  mkdirSync(folder, { mode: 0o700 })
  const fd = openSync(folder, 'r')
  const remove = () => {
    closeSync(fd)
    rmSync(folder, { recursive: true, force: true })
  }
  return { fd, remove }
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
}

async function serve(agent: Agent, client: Socket): Promise<void> {
  // What goes wrong with a client ends its connection and nothing else.
  client.on('error', () => {})
  try {
    const connection = await agent.connect()
    // It may never answer (it asks a person, say), and would keep this process. A client that only stops writing still waits for its answer.
    client.once('close', () => connection.close())
    if (!client.destroyed) await serveClient(client, (request) => connection.ask(request))
    connection.close()
  } catch {
    client.destroy()
  }
}

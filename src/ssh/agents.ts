import { closeSync, mkdirSync, openSync, readSync, rmSync, statSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { errorCode, isTbuildError, TbuildError } from '../base/errors.ts'
import { Shared } from '../base/shared.ts'
import { openNamedFile } from '../values/named-file.ts'
import { forwardTo, keyAgent, serveClient } from './agent.ts'
import { parsePrivateKey, type SigningKey } from './private-key.ts'

/** One `--ssh`: the socket of an agent, or files of private keys; without paths the agent of SSH_AUTH_SOCK. */
export interface AgentSpec {
  readonly id: string
  readonly paths: readonly string[]
}

/** Agents that a build may ask, by id. */
export interface Agents {
  /** A socket that lists and uses keys and does nothing else; undefined when no agent has the id. */
  socket(id: string): Promise<string | undefined>
  close(): void
}

type Source = { readonly socket: string } | { readonly keys: readonly SigningKey[] }

/** BuildKit reads no more of a key. Bytes. */
const KEY_LIMIT = 100 * 1024

/**
 * Reads the keys and looks at the sockets: what is wrong with them is said before anything is built. Errors: SSH_AGENT, SSH_KEY. `temporary` is a free
 * path that goes when the build is killed; the sockets lie there.
 */
export function openAgents(
  specs: readonly AgentSpec[],
  environment: Readonly<Record<string, string | undefined>>,
  temporary: () => string,
): Agents {
  const sources = new Map<string, Source>()
  for (const { id, paths } of specs) {
    if (sources.has(id)) throw agentError(`duplicate agent ID "${id}"`, `give the keys of one agent together: --ssh ${id}=KEY,KEY`)
    sources.set(id, sourceOf(id, paths, environment.SSH_AUTH_SOCK))
  }
  const begun: Promise<Listening>[] = []
  const begin = (source: Source) => {
    const agent = listen(source, temporary())
    begun.push(agent)
    return agent
  }
  const listening = new Shared<string, Listening>()
  return {
    async socket(id) {
      const source = sources.get(id)
      return source && (await listening.of(id, () => begin(source))).path
    },
    close() {
      for (const agent of begun) agent.then(({ close }) => close()).catch(() => {})
    },
  }
}

function sourceOf(id: string, given: readonly string[], agent: string | undefined): Source {
  const [only = ''] = given
  const paths = given.length > 1 || only !== '' ? given : [agent ?? '']
  if (paths[0] === '') {
    throw agentError('invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set', `start an agent, or write --ssh ${id}=KEY`)
  }
  const keys: SigningKey[] = []
  let socket: string | undefined
  for (const path of paths) {
    if (socket !== undefined) throw agentError('only single socket allowed')
    if (isSocket(path)) socket = path
    else keys.push(readKey(path))
  }
  if (socket === undefined) return { keys }
  if (keys.length > 0) throw agentError('invalid combination of keys and sockets')
  return { socket }
}

function agentError(message: string, hint?: string): TbuildError {
  return new TbuildError('SSH_AGENT', message, hint === undefined ? {} : { hint })
}

function isSocket(path: string): boolean {
  try {
    return statSync(path).isSocket()
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR', 'EACCES'].includes(errorCode(error) ?? '')) throw error
    throw agentError(`--ssh: cannot open ${path}: ${errorCode(error)}`, 'name the socket of an agent, or files of private keys')
  }
}

function readKey(path: string): SigningKey {
  const fd = openNamedFile(path)
  try {
    const data = Buffer.alloc(KEY_LIMIT)
    let length = 0
    for (let got = -1; got !== 0; length += got) got = readSync(fd, data, length, KEY_LIMIT - length, null)
    return parsePrivateKey(data.subarray(0, length))
  } catch (error) {
    if (!isTbuildError(error)) throw error
    throw new TbuildError('SSH_KEY', `failed to parse ${path}: ${error.message}`, error.hint === undefined ? {} : { hint: error.hint })
  } finally {
    closeSync(fd)
  }
}

interface Listening {
  readonly path: string
  close(): void
}

async function listen(source: Source, folder: string): Promise<Listening> {
  const clients = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (client) => {
    clients.add(client)
    client.on('close', () => clients.delete(client))
    void serve(source, client)
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

async function serve(source: Source, client: Socket): Promise<void> {
  if ('keys' in source) return serveClient(client, keyAgent(source.keys))
  const agent = connect(source.socket)
  // An agent that is gone or leaves: its answers end, and with them the client's connection.
  agent.on('error', () => {})
  // It may never answer (it asks a person, say), and would keep this process. A client that only stops writing still waits for its answer.
  client.once('close', () => agent.destroy())
  await serveClient(client, forwardTo(agent))
  agent.destroy()
}

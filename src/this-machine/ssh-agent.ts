import { closeSync, readSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import type { Environment } from '../base/environment.ts'
import { errorCode, isTbuildError, TbuildError } from '../base/errors.ts'
import type { Agent } from '../caller/caller.ts'
import { keyAgent, remoteAgent } from '../ssh/agent.ts'
import { parsePrivateKey, type SigningKey } from '../ssh/private-key.ts'
import { openNamedFile } from '../values/named-file.ts'

/** One `--ssh`: the socket of an agent, or files of private keys; without paths the agent of SSH_AUTH_SOCK. */
interface AgentSpec {
  readonly id: string
  readonly paths: readonly string[]
}

interface Deps {
  readonly environment: Environment
  /** A path that was given, absolute. */
  readonly path: (text: string) => string
}

/** BuildKit reads no more of a key. Bytes. */
const KEY_LIMIT = 100 * 1024

/** Reads the keys and looks at the sockets of one id. Errors: SSH_AGENT, SSH_KEY. */
export function openAgent({ id, paths: given }: AgentSpec, isTwice: boolean, deps: Deps): Agent {
  if (isTwice) throw agentError(`duplicate agent ID "${id}"`, `give the keys of one agent together: --ssh ${id}=KEY,KEY`)
  const [only = ''] = given
  const paths = given.length > 1 || only !== '' ? given : [deps.environment.SSH_AUTH_SOCK ?? '']
  if (paths[0] === '') {
    throw agentError('invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set', `start an agent, or write --ssh ${id}=KEY`)
  }
  const keys: SigningKey[] = []
  let socket: string | undefined
  for (const path of paths.map(deps.path)) {
    if (socket !== undefined) throw agentError('only single socket allowed')
    if (isSocket(path)) socket = path
    else keys.push(readKey(path))
  }
  if (socket === undefined) return keysAgent(keys)
  if (keys.length > 0) throw agentError('invalid combination of keys and sockets')
  return socketAgent(socket)
}

/** The agent that listens there. */
export function socketAgent(path: string): Agent {
  return {
    async connect() {
      const socket = connect(path)
      // An agent that is gone or leaves: its answers end, and with them the client's connection.
      socket.on('error', () => {})
      return { ask: remoteAgent(socket), close: () => socket.destroy() }
    },
  }
}

function keysAgent(keys: readonly SigningKey[]): Agent {
  const answer = keyAgent(keys)
  return { connect: async () => ({ ask: async (request) => answer(request), close() {} }) }
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

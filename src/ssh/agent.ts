import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { SigningKey } from './private-key.ts'
import { string, uint32, WireReader } from './wire.ts'

/** Messages of draft-ietf-sshm-ssh-agent, section 6.1: of all requests these two are answered. */
const FAILURE = 5
const REQUEST_IDENTITIES = 11
const IDENTITIES_ANSWER = 12
const SIGN_REQUEST = 13
const SIGN_RESPONSE = 14

/** Bytes of a message: OpenSSH's own limit. */
const MESSAGE_LIMIT = 256 * 1024

const REFUSAL = Buffer.of(FAILURE)

/** Lists and uses keys: what a RUN may do. Adding, removing, locking and extensions are refused, as in BuildKit. */
function isAllowed(request: Buffer): boolean {
  return request[0] === REQUEST_IDENTITIES || request[0] === SIGN_REQUEST
}

/** Answers requests by keys of its own. */
export function keyAgent(keys: readonly SigningKey[]): (request: Buffer) => Buffer {
  return (request) => {
    if (request[0] === REQUEST_IDENTITIES) {
      const entries = keys.flatMap(({ publicKey }) => [string(publicKey), string('')])
      return Buffer.concat([Buffer.of(IDENTITIES_ANSWER), uint32(keys.length), ...entries])
    }
    if (request[0] !== SIGN_REQUEST) return REFUSAL
    try {
      const reader = new WireReader(request.subarray(1))
      const [publicKey, data, flags] = [reader.string(), reader.string(), reader.uint32()]
      const key = keys.find((one) => one.publicKey.equals(publicKey))
      return key === undefined ? REFUSAL : Buffer.concat([Buffer.of(SIGN_RESPONSE), string(key.sign(data, flags))])
    } catch {
      return REFUSAL
    }
  }
}

/** The messages of one side of a connection; ends where it breaks off or a message is too long. */
async function* messages(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let data: Buffer = Buffer.alloc(0)
  for await (const chunk of stream) {
    data = data.length === 0 ? chunk : Buffer.concat([data, chunk])
    while (data.length >= 4) {
      const length = data.readUInt32BE()
      if (length === 0 || length > MESSAGE_LIMIT) return
      if (data.length < 4 + length) break
      yield data.subarray(4, 4 + length)
      data = data.subarray(4 + length)
    }
  }
}

/**
 * Serves one connection until either end closes it; that is no error. A client that does not read is not read from. Of its requests the agent hears only
 * those that are allowed.
 */
export function serveClient(client: Duplex, ask: (request: Buffer) => Promise<Buffer>): Promise<void> {
  async function* answers(requests: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const request of messages(requests)) yield string(isAllowed(request) ? await ask(request) : REFUSAL)
  }
  return pipeline(client, answers, client).catch(() => {})
}

/** Asks an agent at the other end of a connection, one request at a time. */
export function remoteAgent(agent: Duplex): (request: Buffer) => Promise<Buffer> {
  const answers = messages(agent)
  return async (request) => {
    agent.write(string(request))
    const { done, value } = await answers.next()
    if (done) throw new Error('the agent closed the connection')
    return value
  }
}

import { spawnSync } from 'node:child_process'
import { createPublicKey, verify } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { Agent } from '../../../src/caller/caller.ts'
import { keyAgent } from '../../../src/ssh/agent.ts'
import { AgentSockets } from '../../../src/ssh/agents.ts'
import { parsePrivateKey } from '../../../src/ssh/private-key.ts'
import { string, uint32 } from '../../../src/ssh/wire.ts'
import { ThisMachine } from '../../../src/this-machine/this-machine.ts'

let folder = ''
const open: AgentSockets[] = []

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-ssh-'))
})
afterAll(() => {
  for (const agents of open) agents.close()
  rmSync(folder, { recursive: true })
})

/** A key that ssh-keygen made; its path. */
function keygen(name: string, ...args: readonly string[]): string {
  const path = join(folder, name)
  const { status, stderr } = spawnSync('ssh-keygen', ['-q', '-f', path, '-N', '', '-C', '', ...args], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`ssh-keygen: ${stderr}`)
  return path
}

let count = 0
function agents(paths: readonly string[], environment = {}, temporary = () => join(folder, `agent-${count++}`)) {
  const machine = new ThisMachine({ ssh: [{ id: 'default', paths }], environment })
  const sockets = new AgentSockets(temporary)
  open.push(sockets)
  const agent = machine.agent('default') as Promise<Agent>
  return { agent, sockets, socket: async () => sockets.path('default', await agent), close: () => sockets.close() }
}

/** The judge: OpenSSH's own client of agents. */
async function sshAdd(socket: string | undefined, ...args: readonly string[]): Promise<{ status: number | null; output: string }> {
  const { spawn } = await import('node:child_process')
  const child = spawn('ssh-add', args, { env: { PATH: process.env.PATH, SSH_AUTH_SOCK: socket }, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data))
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { status, output }
}

const KINDS: readonly (readonly [string, readonly string[]])[] = [
  ['ed25519', ['-t', 'ed25519']],
  ['rsa', ['-t', 'rsa', '-b', '2048']],
  ['ecdsa256', ['-t', 'ecdsa', '-b', '256']],
  ['ecdsa384', ['-t', 'ecdsa', '-b', '384']],
  ['ecdsa521', ['-t', 'ecdsa', '-b', '521']],
  ['rsa-pem', ['-t', 'rsa', '-b', '2048', '-m', 'PEM']],
  ['ecdsa-pem', ['-t', 'ecdsa', '-b', '256', '-m', 'PEM']],
  ['rsa-pkcs8', ['-t', 'rsa', '-b', '2048', '-m', 'PKCS8']],
]

describe('an agent of private keys', () => {
  test.each(KINDS)('%s is listed, and signs so that ssh-add -T verifies it', async (name, args) => {
    const path = keygen(name, ...args)
    const socket = await agents([path]).socket()
    const [, publicKey] = readFileSync(`${path}.pub`, 'utf8').split(' ')
    expect((await sshAdd(socket, '-L')).output).toContain(publicKey)
    expect(await sshAdd(socket, '-T', `${path}.pub`)).toEqual({ status: 0, output: '' })
  })

  test('several keys, in their order', async () => {
    const socket = await agents([keygen('one', '-t', 'ed25519'), keygen('two', '-t', 'ed25519')]).socket()
    expect((await sshAdd(socket, '-l')).output.trim().split('\n')).toHaveLength(2)
  })

  test.each([
    [['-D'], 'removing all keys'],
    [['-x'], 'locking'],
  ])('%j is refused: %s', async (args) => {
    const socket = await agents([keygen(`locked${args[0]}`, '-t', 'ed25519')]).socket()
    await sshAdd(socket, ...args)
    expect((await sshAdd(socket, '-l')).status).toBe(0)
  })

  test('an RSA key signs with the hash that is asked for', () => {
    const path = keygen('hashes', '-t', 'rsa', '-b', '2048')
    const key = parsePrivateKey(readFileSync(path))
    const pem = spawnSync('ssh-keygen', ['-e', '-m', 'PKCS8', '-f', `${path}.pub`], { encoding: 'utf8' }).stdout
    for (const [flags, type, hash] of [
      [0, 'ssh-rsa', 'sha1'],
      [2, 'rsa-sha2-256', 'sha256'],
      [4, 'rsa-sha2-512', 'sha512'],
    ] as const) {
      const blob = key.sign(Buffer.from('data'), flags)
      expect(blob.subarray(4, 4 + type.length).toString()).toBe(type)
      expect(verify(hash, Buffer.from('data'), createPublicKey(pem), blob.subarray(8 + type.length))).toBe(true)
    }
  })

  test('whatever it is sent, it answers with a message', () => {
    const answer = keyAgent([parsePrivateKey(readFileSync(keygen('fuzz', '-t', 'ed25519')))])
    fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (bytes) => answer(Buffer.from(bytes)).length > 0))
    expect(answer(Buffer.concat([Buffer.of(13), string('no key'), string('x'), uint32(0)]))).toEqual(Buffer.of(5))
    expect(answer(Buffer.concat([Buffer.of(13), uint32(0xffffffff)]))).toEqual(Buffer.of(5))
  })
})

describe('an agent of the caller', () => {
  let host: Server
  const asked: number[] = []
  const sockets = new Set<Socket>()
  const path = () => join(folder, 'host')

  beforeAll(async () => {
    const answer = keyAgent([parsePrivateKey(readFileSync(keygen('host-key', '-t', 'ed25519')))])
    host = createServer((socket) => {
      sockets.add(socket)
      socket.on('data', (data) => {
        asked.push(data[4] as number)
        socket.write(string(answer(data.subarray(4))))
      })
    })
    await new Promise<void>((resolve) => host.listen(path(), resolve))
  })
  afterAll(() => {
    for (const socket of sockets) socket.destroy()
    host.close()
  })

  test('lists and signs, and never hears of anything else', async () => {
    const socket = await agents([path()]).socket()
    expect((await sshAdd(socket, '-l')).status).toBe(0)
    expect((await sshAdd(socket, '-T', join(folder, 'host-key.pub'))).status).toBe(0)
    await sshAdd(socket, '-D')
    expect(new Set(asked)).toEqual(new Set([11, 13]))
  })

  test('without a path it is that of SSH_AUTH_SOCK', async () => {
    expect((await sshAdd(await agents([], { SSH_AUTH_SOCK: path() }).socket(), '-l')).status).toBe(0)
  })

  test('one that is gone refuses, it does not throw', async () => {
    const gone = join(folder, 'gone')
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(gone, resolve))
    const socket = await agents([gone]).socket()
    await new Promise<void>((resolve) => server.close(() => resolve()))
    expect((await sshAdd(socket, '-l')).status).not.toBe(0)
  })

  test('one that never answers is left when the build ends', async () => {
    const silent = join(folder, 'silent')
    const server = createServer((socket) => sockets.add(socket))
    await new Promise<void>((resolve) => server.listen(silent, resolve))
    const opened = agents([silent])
    const client = connect(await opened.socket())
    const accepted = once(server, 'connection')
    client.write(string(Buffer.of(11)))
    const [asked] = (await accepted) as [Socket]
    await once(asked, 'data')
    client.destroy()
    opened.close()
    await once(asked, 'close')
    await new Promise<void>((resolve) => server.close(() => resolve()))
  })

  test('a client that only stops writing gets its answer', async () => {
    const client = connect(await agents([path()]).socket())
    client.end(string(Buffer.of(11)))
    const [answer] = (await once(client, 'data')) as [Buffer]
    expect(answer[4]).toBe(12)
  })
})

describe('a socket that cannot be made', () => {
  const openFolders = () =>
    readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/self/fd/${fd}`)]
      } catch {
        // That of the listing itself.
        return []
      }
    })

  test('leaves no folder and no descriptor, and the next step tries again', async () => {
    const closed = join(folder, 'closed')
    mkdirSync(closed)
    chmodSync(closed, 0o777)
    const made: string[] = []
    const opened = agents([keygen('retried', '-t', 'ed25519')], {}, () => {
      made.push(join(closed, String(made.length)))
      return made.at(-1) as string
    })
    const agent = await opened.agent
    // The folder is made without the right to write into it; what root may do is taken away for the call.
    const mask = process.umask(0o300)
    if (process.getuid?.() === 0) process.seteuid?.(65534)
    const refused = opened.sockets.path('default', agent)
    process.seteuid?.(process.getuid?.() ?? 0)
    process.umask(mask)
    await expect(refused).rejects.toMatchObject({ code: 'EACCES' })
    expect(existsSync(made[0] as string)).toBe(false)
    expect(openFolders().filter((target) => target.startsWith(closed))).toEqual([])
    expect((await sshAdd(await opened.socket(), '-l')).status).toBe(0)
  })
})

describe('what is refused, with the words of BuildKit', () => {
  const refusal = async (ssh: readonly { readonly id: string; readonly paths: readonly string[] }[]) => {
    try {
      await new ThisMachine({ ssh, environment: {} }).agent('k')
    } catch (error) {
      const { code, message, hint } = error as Error & { code: string; hint?: string }
      return { code, message, hint }
    }
    return undefined
  }
  const of = (...paths: readonly string[]) => refusal([{ id: 'k', paths }])

  test('a key with a passphrase, in either form', async () => {
    const message = expect.stringMatching(/^failed to parse .*: ssh: this private key is passphrase protected$/)
    for (const format of [[], ['-m', 'PEM'], ['-m', 'PKCS8']]) {
      const path = keygen(`locked${format[1] ?? ''}`, '-t', 'rsa', '-b', '2048', ...format)
      spawnSync('ssh-keygen', ['-p', '-q', '-f', path, '-P', '', '-N', 'secret', ...format])
      expect(await of(path)).toEqual({ code: 'SSH_KEY', message, hint: 'add it to an ssh-agent and pass --ssh default' })
    }
  })

  test('no key, and a public one', async () => {
    writeFileSync(join(folder, 'text'), 'hello')
    expect(await of(join(folder, 'text'))).toEqual({
      code: 'SSH_KEY',
      message: `failed to parse ${join(folder, 'text')}: ssh: no key found`,
      hint: 'name the file of a private key, or the socket of an agent',
    })
    expect((await of(`${keygen('public', '-t', 'ed25519')}.pub`))?.code).toBe('SSH_KEY')
  })

  test('a broken one', async () => {
    const path = keygen('broken', '-t', 'ed25519')
    const lines = readFileSync(path, 'utf8').split('\n')
    writeFileSync(path, [lines[0], lines[1], ...lines.slice(-2)].join('\n'))
    expect(await of(path)).toMatchObject({ code: 'SSH_KEY' })
  })

  test('a path that is not there, no agent at all, the same id twice, keys with a socket', async () => {
    expect(await of(join(folder, 'none'))).toMatchObject({ code: 'SSH_AGENT', message: expect.stringContaining('ENOENT') })
    expect((await of())?.message).toBe('invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set')
    const key = keygen('both', '-t', 'ed25519')
    const twice = [
      { id: 'k', paths: [key] },
      { id: 'k', paths: [key] },
    ] as const
    expect((await refusal(twice))?.message).toBe('duplicate agent ID "k"')
    mkdirSync(join(folder, 's'))
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(join(folder, 's/socket'), resolve))
    expect((await of(key, join(folder, 's/socket')))?.message).toBe('invalid combination of keys and sockets')
    expect((await of(join(folder, 's/socket'), key))?.message).toBe('only single socket allowed')
    server.close()
  })

  test('no bytes at all make it throw anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const text = `-----BEGIN OPENSSH PRIVATE KEY-----\n${Buffer.concat([Buffer.from('openssh-key-v1\0'), bytes]).toString('base64')}\n-----END OPENSSH PRIVATE KEY-----\n`
        expect(() => parsePrivateKey(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'SSH_KEY' }))
      }),
    )
  })
})

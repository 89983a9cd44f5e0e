import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { RegistryClient } from '../../src/sources/registry/client.ts'
import { ThisMachine } from '../../src/this-machine/this-machine.ts'
import { tbuildAsync } from '../support/cli.ts'
import { makeImage } from '../support/oci-image.ts'
import { startTestRegistry, type TestRegistry } from '../support/registry-server.ts'

/** A registry behind TLS whose authority nobody knows: who takes it unverified, and who does not. */
const folder = mkdtempSync(join(tmpdir(), 'tbuild-unverified-'))
const image = makeImage()
const auths = { auth: Buffer.from('ann:secret').toString('base64') }
let registry: TestRegistry
let tls: Server
/** Also takes those who come without TLS, and answers `plain`. */
let front: Server
let plain = ''
/** CONNECT to anything leads to `tls`. */
let proxy: Server
const client = { current: undefined as RegistryClient | undefined }

const portOf = (server: Server) => (server.address() as AddressInfo).port
const listening = (server: Server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

beforeAll(async () => {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', join(folder, 'key.pem')]
  execFileSync('openssl', ['req', '-x509', '-days', '2', ...key, '-out', join(folder, 'cert.pem'), '-subj', '/CN=nobody.test'], {
    stdio: 'ignore',
  })
  registry = await startTestRegistry({ auth: 'bearer', users: { ann: 'secret' } })
  registry.addImage('team/app', image, 'v1')
  // As most registries with a token server of their own have it: at their own address.
  registry.challenge = () => ''
  tls = createTlsServer(
    { key: readFileSync(join(folder, 'key.pem')), cert: readFileSync(join(folder, 'cert.pem')) },
    (incoming, outgoing) => {
      const { method, headers } = incoming
      const inner = request(registry.url + incoming.url, { method, headers }, (answer) => {
        const realm = `Bearer realm="https://${headers.host}/token",service="test"`
        const more = answer.statusCode === 401 ? { 'www-authenticate': realm } : {}
        outgoing.writeHead(answer.statusCode ?? 500, { ...answer.headers, ...more })
        answer.pipe(outgoing)
      })
      incoming.pipe(inner)
    },
  )
  front = createServer((socket) => {
    socket.once('data', (head) => {
      // The first byte of a TLS handshake is 22.
      if (head[0] === 22) lead(socket, head)
      else socket.end(plain)
    })
  })
  proxy = createServer((socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      lead(socket)
    })
  })
  const lead = (socket: ReturnType<typeof connect>, head?: Buffer) => {
    const target = connect(portOf(tls), '127.0.0.1', () => {
      if (head !== undefined) target.write(head)
      socket.pipe(target).pipe(socket)
    })
    for (const end of [socket, target]) end.on('error', () => {})
  }
  for (const server of [tls, front, proxy]) await listening(server)
})
afterEach(async () => {
  await client.current?.close()
})
afterAll(async () => {
  for (const server of [tls, front, proxy]) server.close()
  await registry.close()
  rmSync(folder, { recursive: true })
})

function pull(host: string, { insecure = false, environment = {} as Record<string, string> } = {}) {
  mkdirSync(join(folder, '.docker'), { recursive: true })
  writeFileSync(join(folder, '.docker/config.json'), JSON.stringify({ auths: { [host]: auths } }))
  client.current = new RegistryClient({
    caller: new ThisMachine({ environment: { HOME: folder, ...environment } }),
    registries: [],
    retry: { attempts: 1, delay: 1, maxDelay: 1 },
  })
  return client.current.repository(host, 'team/app', { insecure }).resolveTag('v1')
}
const { digest } = image.manifest
const proxied = () => ({ HTTPS_PROXY: `http://127.0.0.1:${portOf(proxy)}` })

describe('what is unverified for a registry is its own address', () => {
  test('with its token server', async () => {
    expect(await pull(`127.0.0.1:${portOf(tls)}`)).toBe(digest)
    expect(await pull('registry.test', { insecure: true, environment: proxied() })).toBe(digest)
  })

  test('in every spelling', async () => {
    expect(await pull(`LOCALHOST:${portOf(tls)}`)).toBe(digest)
    expect(await pull('Registry.test:443', { insecure: true, environment: proxied() })).toBe(digest)
  })

  test('and no setting of Node takes the verification from others', async () => {
    const context = join(folder, 'context')
    mkdirSync(context)
    writeFileSync(join(context, 'Dockerfile'), 'FROM registry.test/team/app:v1\n')
    const environment = { HOME: folder, NODE_TLS_REJECT_UNAUTHORIZED: '0', ...proxied() }
    const { stderr } = await tbuildAsync(['--root', join(folder, 'store'), '--progress', 'plain', context], environment)
    expect(stderr).toContain('registry.test/team/app:v1: pull: cannot reach registry.test: its certificate is of an unknown authority')
  })
})

describe('a registry of this machine with TLS is found behind what it says to plain HTTP', () => {
  test.each([
    ['nginx, which leads to it', 'HTTP/1.1 307 Temporary Redirect\r\nlocation: https://HOST/v2/\r\ncontent-length: 0\r\n\r\n'],
    ['Tomcat', 'HTTP/1.1 400 \r\nconnection: close\r\n\r\nBad Request\r\nThis combination of host and port requires TLS.\r\n'],
  ])('%s', async (_what, answer) => {
    const host = `127.0.0.1:${portOf(front)}`
    plain = answer.replace('HOST', host)
    expect(await pull(host)).toBe(digest)
  })
})

describe('a broken file of certs.d is said', () => {
  const certs = join(folder, '.config/docker/certs.d/registry.test')
  const broken: [string, () => void][] = [
    ['an authority that is a link to nowhere', () => symlinkSync('/nowhere', join(certs, 'ca.crt'))],
    [
      'a certificate of a client that is none',
      () => {
        writeFileSync(join(certs, 'client.cert'), 'no certificate')
        writeFileSync(join(certs, 'client.key'), 'no key')
      },
    ],
  ]
  test.each(broken)('%s', async (_what, make) => {
    rmSync(certs, { recursive: true, force: true })
    mkdirSync(certs, { recursive: true })
    make()
    // Through a proxy: connections are made later there.
    for (const environment of [proxied(), {} as Record<string, string>]) {
      await expect(pull('registry.test', { environment })).rejects.toMatchObject({
        code: 'CERTIFICATE_UNREADABLE',
        message: expect.stringContaining(certs),
      })
    }
  })
})

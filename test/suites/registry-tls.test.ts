import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Transport } from '../../src/http/transport.ts'
import { RegistryClient } from '../../src/sources/registry/client.ts'
import { registrySource } from '../../src/sources/registry/pull.ts'
import { ThisMachine } from '../../src/this-machine/this-machine.ts'
import { parsePlatform } from '../../src/values/platform.ts'
import { createMemoryBlobStore } from '../support/memory-blob-store.ts'
import { makeImage } from '../support/oci-image.ts'
import { startTestRegistry, type TestRegistry } from '../support/registry-server.ts'

/** TLS in front of the test registry. `registry.test` is reached only through the proxy: nothing resolves that name. */
const folder = mkdtempSync(join(tmpdir(), 'tbuild-tls-'))
const certificate = join(folder, 'ca.crt')
const image = makeImage()
let registry: TestRegistry
let tls: Server
let proxy: Server
let tunnels: string[]
/** The proxy leads to the registry without its TLS. */
let plain = false
/** The proxy opens no tunnels, as squid does for ports but 443: it only hands on what comes without TLS. */
let tunnelless = false

beforeAll(async () => {
  mkdirSync(join(folder, 'home'))
  const subject = ['-subj', '/CN=registry.test', '-addext', 'subjectAltName=DNS:registry.test,IP:127.0.0.1']
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', join(folder, 'key.pem')]
  execFileSync('openssl', ['req', '-x509', '-days', '2', ...key, '-out', certificate, ...subject], { stdio: 'ignore' })
  registry = await startTestRegistry()
  registry.addImage('team/app', image, 'v1')
  tls = createTlsServer({ key: readFileSync(join(folder, 'key.pem')), cert: readFileSync(certificate) }, (incoming, outgoing) => {
    const inner = request(registry.url + incoming.url, { method: incoming.method ?? 'GET', headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(outgoing)
    })
    incoming.pipe(inner)
  })
  await new Promise<void>((resolve) => tls.listen(0, '127.0.0.1', resolve))
  tunnels = []
  proxy = createServer((socket) => {
    socket.once('data', (head) => {
      tunnels.push(head.toString().split('\r\n')[0] as string)
      if (tunnelless && head.toString().startsWith('CONNECT')) return socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
      const target = connect(plain || tunnelless ? Number(new URL(registry.url).port) : portOf(tls), '127.0.0.1', () => {
        if (tunnelless) target.write(head)
        else socket.write('HTTP/1.1 200 OK\r\n\r\n')
        socket.pipe(target).pipe(socket)
      })
      for (const end of [socket, target]) end.on('error', () => {})
    })
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
})

afterAll(async () => {
  for (const server of [tls, proxy]) server.close()
  await registry.close()
  rmSync(folder, { recursive: true })
})

const portOf = (server: Server) => (server.address() as AddressInfo).port
const retry = { attempts: 1, delay: 1, maxDelay: 1 }

async function pull(environment: Record<string, string>, insecure = false) {
  const registries = [{ prefix: 'registry.test', location: 'registry.test', insecure, blocked: false }]
  const proxied = { HOME: join(folder, 'home'), HTTPS_PROXY: `http://127.0.0.1:${portOf(proxy)}`, ...environment }
  const client = new RegistryClient({ caller: new ThisMachine({ environment: proxied }), registries, retry })
  const resolved = registrySource({ blobs: createMemoryBlobStore(), client }).resolve(
    'registry.test/team/app:v1',
    parsePlatform('linux/amd64'),
  )
  return resolved.finally(() => client.close())
}

test('https through a proxy, trusted by SSL_CERT_FILE', async () => {
  expect((await pull({ SSL_CERT_FILE: certificate })).manifestDigest).toBe(image.manifest.digest)
  expect(tunnels[0]).toBe('CONNECT registry.test:443 HTTP/1.1')
})

test('https trusted by a folder of SSL_CERT_DIR', async () => {
  const more = join(folder, 'authorities')
  mkdirSync(join(more, 'a folder'), { recursive: true })
  execFileSync('cp', [certificate, join(more, '1234abcd.0')])
  expect((await pull({ SSL_CERT_DIR: `/nowhere:${more}` })).manifestDigest).toBe(image.manifest.digest)
})

test('https trusted by certs.d', async () => {
  const certs = join(folder, 'home/.config/containers/certs.d/registry.test')
  mkdirSync(certs, { recursive: true })
  execFileSync('cp', [certificate, join(certs, 'ca.crt')])
  expect((await pull({})).manifestDigest).toBe(image.manifest.digest)
  rmSync(certs, { recursive: true })
})

test('CVE-2019-10214 an unknown authority is refused, with the way out, unless the registry is marked insecure', async () => {
  const error = pull({})
  await expect(error).rejects.toMatchObject({ code: 'REGISTRY_UNREACHABLE', hint: expect.stringContaining('certs.d/registry.test') })
  expect((await pull({}, true)).manifestDigest).toBe(image.manifest.digest)
})

test('plain HTTP where TLS is expected is said, with the way out, which is one', async () => {
  plain = true
  try {
    await expect(pull({})).rejects.toMatchObject({
      code: 'REGISTRY_UNREACHABLE',
      message: expect.stringMatching(/cannot reach registry.test: it answers in plain HTTP, without TLS$/),
      hint: expect.stringMatching(/insecure = true/),
    })
  } finally {
    plain = false
  }
})

test('an insecure registry without TLS is reached through a proxy that opens no tunnel to it', async () => {
  tunnelless = true
  try {
    const environment = { HTTP_PROXY: `http://127.0.0.1:${portOf(proxy)}` }
    expect((await pull(environment, true)).manifestDigest).toBe(image.manifest.digest)
    // One that is not marked is not asked without TLS for that.
    await expect(pull(environment)).rejects.toMatchObject({ message: expect.stringMatching(/the proxy 127.0.0.1:\d+ answered 403$/) })
  } finally {
    tunnelless = false
  }
})

test('a certificate for another name is said', async () => {
  const client = new RegistryClient({
    caller: new ThisMachine({ environment: { SSL_CERT_FILE: certificate, HTTPS_PROXY: `http://127.0.0.1:${portOf(proxy)}` } }),
    registries: [],
    retry,
  })
  await expect(client.repository('other.test', 'team/app').resolveTag('v1')).rejects.toMatchObject({
    code: 'REGISTRY_UNREACHABLE',
    message: expect.stringContaining('its certificate is for another name'),
    hint: expect.stringContaining('a name that the certificate has'),
  })
  await client.close()
})

describe('a registry of this machine', () => {
  const loopback = async (port: number, environment: Record<string, string> = {}) => {
    const client = new RegistryClient({
      caller: new ThisMachine({ environment: { HOME: join(folder, 'home'), ...environment } }),
      registries: [],
      retry,
    })
    const found = registrySource({ blobs: createMemoryBlobStore(), client }).resolve(
      `127.0.0.1:${port}/team/app:v1`,
      parsePlatform('linux/amd64'),
    )
    return found.finally(() => client.close())
  }

  test('with TLS, whose authority nobody knows, as docker takes it; with one in certs.d', async () => {
    expect((await loopback(portOf(tls))).manifestDigest).toBe(image.manifest.digest)
    const certs = join(folder, `home/.config/docker/certs.d/127.0.0.1:${portOf(tls)}`)
    mkdirSync(certs, { recursive: true })
    execFileSync('cp', [certificate, join(certs, 'ca.crt')])
    expect((await loopback(portOf(tls))).manifestDigest).toBe(image.manifest.digest)
  })

  test('with TLS, that answers plain HTTP with 400 as Go does', async () => {
    const secure = createTlsServer({ key: readFileSync(join(folder, 'key.pem')), cert: readFileSync(certificate) }, (_incoming, outgoing) =>
      outgoing.writeHead(404, { 'content-type': 'application/json' }).end('{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'),
    )
    await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve))
    const front = createServer((socket) => {
      socket.once('data', (head) => {
        // The first byte of a TLS handshake is 22.
        if (head[0] !== 22) return socket.end('HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n')
        const target = connect(portOf(secure), '127.0.0.1', () => {
          target.write(head)
          socket.pipe(target).pipe(socket)
        })
        for (const end of [socket, target]) end.on('error', () => {})
      })
    })
    await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve))
    await expect(loopback(portOf(front))).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    for (const server of [front, secure]) server.close()
  })

  test('that is not there is asked without TLS, and said to refuse', async () => {
    const gone = createServer()
    await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve))
    const port = portOf(gone)
    await new Promise((resolve) => gone.close(resolve))
    await expect(loopback(port)).rejects.toMatchObject({
      code: 'REGISTRY_UNREACHABLE',
      message: `127.0.0.1:${port}/team/app:v1: pull: cannot reach 127.0.0.1:${port}: connection refused`,
    })
  })
})

test('https without a proxy', async () => {
  const transport = new Transport({ environment: { SSL_CERT_FILE: certificate } })
  const response = await transport.request({ method: 'GET', url: new URL(`https://127.0.0.1:${portOf(tls)}/v2/`) })
  response.body.resume()
  expect(response.status).toBe(200)
  await transport.close()
})

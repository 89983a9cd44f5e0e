import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sha256 } from '../../src/base/digest.ts'
import { RegistryClient } from '../../src/sources/registry/client.ts'
import { registrySource } from '../../src/sources/registry/pull.ts'
import { type PushBlob, pushImage } from '../../src/sources/registry/push.ts'
import { fetchToBlobStore } from '../../src/sources/registry/verified-blob.ts'
import { ThisMachine } from '../../src/this-machine/this-machine.ts'
import { parseImageReference } from '../../src/values/image-reference.ts'
import { MediaType } from '../../src/values/oci.ts'
import { parsePlatform } from '../../src/values/platform.ts'
import { createMemoryBlobStore } from '../support/memory-blob-store.ts'
import { testWith } from '../support/needs.ts'
import { blobsOf, makeImage, makeIndex } from '../support/oci-image.ts'
import { type Intercept, send, startTestRegistry, type TestRegistry, type TestRegistryOptions } from '../support/registry-server.ts'

const amd64 = parsePlatform('linux/amd64')
const retry = { attempts: 3, delay: 1, maxDelay: 50 }
const image = makeImage()
let registry: TestRegistry
let home: string

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'tbuild-home-'))
})
afterEach(async () => {
  await registry.close()
  await rm(home, { recursive: true })
})

async function start(options: TestRegistryOptions = {}): Promise<void> {
  registry = await startTestRegistry(options)
  registry.addImage('team/app', image, 'v1')
}

function client(environment: Record<string, string> = {}): RegistryClient {
  return new RegistryClient({
    caller: new ThisMachine({ environment: { HOME: home, PATH: `${home}:${process.env.PATH}`, ...environment } }),
    registries: [],
    retry,
    idleTimeout: 500,
  })
}

function pull(environment: Record<string, string> = {}) {
  return registrySource({ blobs: createMemoryBlobStore(), client: client(environment) }).resolve(`${registry.host}/team/app:v1`, amd64)
}

async function writeConfig(config: object): Promise<void> {
  await mkdir(join(home, '.docker'), { recursive: true })
  await writeFile(join(home, '.docker/config.json'), JSON.stringify(config))
}

const auth = (text: string) => ({ auth: Buffer.from(text).toString('base64') })

describe('pull', () => {
  test('a rebuild asks with one HEAD and fetches no body; a digest asks nothing', async () => {
    await start()
    const source = registrySource({ blobs: createMemoryBlobStore(), client: client() })
    await source.resolve(`${registry.host}/team/app:v1`, amd64)
    registry.requests.length = 0
    await source.resolve(`${registry.host}/team/app:v1`, amd64)
    expect(registry.requests.map(({ method, path }) => `${method} ${path}`)).toEqual(['HEAD /v2/team/app/manifests/v1'])
    registry.requests.length = 0
    await source.resolve(`${registry.host}/team/app@${image.manifest.digest}`, amd64)
    expect(registry.requests).toEqual([])
  })

  test('a sha512 is asked for as it is and compared by its own algorithm; what it names has a sha256', async () => {
    const { bytes, mediaType } = image.manifest
    const digest = `sha512:${createHash('sha512').update(bytes).digest('hex')}`
    const other = `sha512:${'a'.repeat(128)}`
    const serve: Intercept = (request, response) => {
      if (!request.url?.includes('manifests/sha512:')) return false
      send(
        response,
        200,
        { 'content-type': mediaType, 'docker-content-digest': decodeURIComponent(request.url.split('/').at(-1) as string) },
        bytes,
      )
      return true
    }
    await start({ intercept: serve })
    const source = registrySource({ blobs: createMemoryBlobStore(), client: client() })
    const found = await source.resolve(`${registry.host}/team/app@${digest}`, amd64)
    expect(found).toMatchObject({ name: `${registry.host}/team/app@${digest}`, resolvedDigest: image.manifest.digest })
    await expect(source.resolve(`${registry.host}/team/app@${other}`, amd64)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })

  test.each([
    ['429 with Retry-After', 429],
    ['503', 503],
  ])('%s is tried again, with an end', async (_name, status) => {
    await start()
    let failures = 2
    registry.intercept = (_request, response) => {
      if (failures-- <= 0) return false
      response.writeHead(status, { 'retry-after': '0' }).end()
      return true
    }
    expect((await pull()).manifestDigest).toBe(image.manifest.digest)
    failures = 99
    await expect(pull()).rejects.toMatchObject({ code: 'REGISTRY_UNREACHABLE', message: expect.stringContaining(String(status)) })
  })

  test('a blob whose connection breaks is taken up where it broke', async () => {
    const big = makeImage({ layers: [Array.from({ length: 20_000 }, (_, index) => sha256(String(index))).join('')] })
    await start()
    registry.addImage('team/app', big, 'big')
    const blobs = createMemoryBlobStore()
    const resolved = await registrySource({ blobs, client: client() }).resolve(`${registry.host}/team/app:big`, amd64)
    const [layer] = resolved.layers
    if (layer === undefined) throw new Error('no layer')
    let broken = 0
    registry.intercept = (request, response) => {
      if (broken++ > 0 || !request.url?.includes(layer.digest)) return false
      response.writeHead(200, { 'content-length': layer.size })
      response.write(big.layers[0]?.subarray(0, 100_000), () => setTimeout(() => response.destroy(), 50))
      return true
    }
    await fetchToBlobStore(blobs, layer, () => resolved.fetch(layer), 'layer')
    expect((await blobs.stat(layer.digest))?.size).toBe(layer.size)
    expect(registry.requests.map(({ headers }) => headers.range).filter(Boolean)).toEqual([expect.stringMatching(/^bytes=[1-9][0-9]*-$/)])
  })

  test('a silent registry is given up', async () => {
    await start({ intercept: () => true })
    await expect(pull()).rejects.toMatchObject({ code: 'REGISTRY_UNREACHABLE', message: expect.stringContaining('timed out') })
  })

  test('a registry without HEAD digests is asked with GET', async () => {
    await start()
    registry.intercept = (request, response) => {
      if (request.method !== 'HEAD') return false
      response.writeHead(200).end()
      return true
    }
    expect((await pull()).resolvedDigest).toBe(image.manifest.digest)
  })

  test('an abort ends a pull', async () => {
    await start({ intercept: () => true })
    const source = registrySource({ blobs: createMemoryBlobStore(), client: client() })
    const error = source.resolve(`${registry.host}/team/app:v1`, amd64, AbortSignal.timeout(50))
    await expect(error).rejects.toMatchObject({ name: expect.stringMatching(/^(Abort|Timeout)Error$/) })
  })
})

describe('login', () => {
  const users = { ann: 'secret:with:colons'.slice(0, 6) }

  test.each(['basic', 'bearer'] as const)('%s: auths by host, with scheme, and by namespace', async (kind) => {
    await start({ auth: kind, users })
    for (const key of [
      registry.host,
      `https://${registry.host}/v1/`,
      `http://${registry.host}`,
      `${registry.host}/team`,
      `${registry.host}/team/app`,
    ]) {
      await writeConfig({ auths: { [key]: auth('ann:secret') } })
      expect((await pull()).manifestDigest).toBe(image.manifest.digest)
    }
  })

  test('the longest namespace wins', async () => {
    await start({ auth: 'basic', users })
    await writeConfig({ auths: { [registry.host]: auth('ann:wrong'), [`${registry.host}/team`]: auth('ann:secret') } })
    expect((await pull()).manifestDigest).toBe(image.manifest.digest)
  })

  test('CVE-2021-41092 a login of another registry, host prefix or namespace is never used', async () => {
    await start({ auth: 'basic', users })
    await writeConfig({
      auths: {
        'https://index.docker.io/v1/': auth('ann:secret'),
        [`${registry.host}/tea`]: auth('ann:secret'),
        '127.0.0.1': auth('ann:secret'),
      },
    })
    await expect(pull()).rejects.toMatchObject({ code: 'REGISTRY_DENIED', message: expect.stringContaining('with no credentials') })
    expect(registry.requests.every(({ authorization }) => authorization === undefined)).toBe(true)
  })

  test('a wrong password is told by its source, never its value', async () => {
    await start({ auth: 'basic', users })
    await writeConfig({ auths: { [registry.host]: auth('ann:hunter2') } })
    const error = await pull().catch((caught: Error) => caught)
    expect(error).toMatchObject({ code: 'REGISTRY_DENIED', message: expect.stringContaining(join(home, '.docker/config.json')) })
    expect(JSON.stringify([error, String(error)])).not.toMatch(/hunter2|YW5u/)
  })

  test('an anonymous token is enough for a public image, and asked for once', async () => {
    await start({ auth: 'bearer' })
    expect((await pull()).manifestDigest).toBe(image.manifest.digest)
    expect(registry.requests.filter(({ path }) => path.startsWith('/token'))).toHaveLength(1)
  })

  test('an identity token is exchanged by POST', async () => {
    await start({ auth: 'bearer', users, identityTokens: ['refresh-me'] })
    await writeConfig({ auths: { [registry.host]: { identitytoken: 'refresh-me' } } })
    expect((await pull()).manifestDigest).toBe(image.manifest.digest)
  })

  test.each(['credHelpers', 'credsStore'])('%s asks docker-credential-*, in the environment of the caller', async (member) => {
    await start({ auth: 'basic', users })
    await writeConfig({ [member]: member === 'credsStore' ? 'fake' : { [registry.host]: 'fake' } })
    const script = `#!/bin/sh\nread server || true\n[ "$MY_SECRET" = x ] && [ "$server" = "${registry.host}" ] || exit 1\necho '{"Username":"ann","Secret":"secret"}'\n`
    await writeFile(join(home, 'docker-credential-fake'), script, { mode: 0o755 })
    expect((await pull({ MY_SECRET: 'x' })).manifestDigest).toBe(image.manifest.digest)
  })

  test('CVE-2021-41092 a missing helper means no credentials, and is named when the registry then refuses', async () => {
    await start({ auth: 'basic', users })
    await writeConfig({ credsStore: 'missing' })
    await expect(pull()).rejects.toMatchObject({ code: 'REGISTRY_DENIED', message: expect.stringContaining('docker-credential-missing') })
  })

  test('a config.json that is no JSON holds no login, and is named when the registry then refuses', async () => {
    await start({ auth: 'basic', users })
    await writeConfig({})
    await writeFile(join(home, '.docker/config.json'), '{ broken')
    await expect(pull()).rejects.toMatchObject({
      code: 'REGISTRY_DENIED',
      message: expect.stringContaining('config.json is not valid JSON'),
    })
  })

  test.each([
    ['is no JSON', '{ broken'],
    ['names a helper that is missing', '{"credsStore":"missing"}'],
  ])("a config.json that %s does not hide the login of containers' auth.json", async (_what, text) => {
    await start({ auth: 'basic', users })
    await writeConfig({})
    await writeFile(join(home, '.docker/config.json'), text)
    await mkdir(join(home, '.config/containers'), { recursive: true })
    await writeFile(join(home, '.config/containers/auth.json'), JSON.stringify({ auths: { [registry.host]: auth('ann:secret') } }))
    expect((await pull()).manifestDigest).toBe(image.manifest.digest)
  })

  test('REGISTRY_AUTH_FILE and containers/auth.json are read', async () => {
    await start({ auth: 'basic', users })
    await mkdir(join(home, 'run/containers'), { recursive: true })
    const text = JSON.stringify({ auths: { [registry.host]: auth('ann:secret') } })
    await writeFile(join(home, 'run/containers/auth.json'), text)
    await writeFile(join(home, 'other.json'), text)
    expect((await pull({ XDG_RUNTIME_DIR: join(home, 'run') })).manifestDigest).toBe(image.manifest.digest)
    expect((await pull({ REGISTRY_AUTH_FILE: join(home, 'other.json') })).manifestDigest).toBe(image.manifest.digest)
  })
})

describe('push', () => {
  async function* bytesOf(data: Buffer) {
    yield data
  }
  const other = makeImage({ layers: ['new one'], platform: { os: 'linux', architecture: 'arm64' } })
  const blobs: PushBlob[] = [...blobsOf(image), ...blobsOf(other)].map((data) => ({
    descriptor: { mediaType: MediaType.ociLayer, digest: sha256(data), size: data.length },
    open: () => bytesOf(data),
  }))
  const index = makeIndex([image, other])
  const documents = [image.manifest, other.manifest, index].map(({ bytes, mediaType, digest }) => ({
    bytes,
    descriptor: { mediaType, digest, size: bytes.length },
  }))

  test.each([
    ['monolithic', {}],
    ['chunked', { chunkedOnly: true }],
    ['with a login', { auth: 'bearer' as const, users: { ann: 'secret' } }],
  ])('%s: what is there is not sent, and the result can be pulled', async (_name, options) => {
    await start(options)
    await writeConfig({ auths: { [registry.host]: auth('ann:secret') } })
    const outcomes: string[] = []
    const reference = parseImageReference(`${registry.host}/me/new:v2`)
    const result = await pushImage(client(), { reference, blobs, documents, onBlob: (_descriptor, outcome) => outcomes.push(outcome) })
    expect(result.digest).toBe(index.digest)
    expect(outcomes.sort()).toEqual(['exists', 'exists', 'exists', 'sent', 'sent'])
    const source = registrySource({ blobs: createMemoryBlobStore(), client: client() })
    const resolved = await source.resolve(`${registry.host}/me/new:v2`, parsePlatform('linux/arm64'))
    expect(resolved.manifestDigest).toBe(other.manifest.digest)
  })

  test('a blob of another repository is mounted', async () => {
    await start()
    registry.intercept = (request, response) => {
      if (request.method !== 'HEAD' || !request.url?.includes('/blobs/')) return false
      response.writeHead(404).end()
      return true
    }
    const outcomes: string[] = []
    const mine = blobs.slice(0, 3).map((blob) => ({ ...blob, from: 'team/app' }))
    const reference = parseImageReference(`${registry.host}/me/new:v2`)
    await pushImage(client(), {
      reference,
      blobs: mine,
      documents: documents.slice(0, 1),
      onBlob: (_descriptor, outcome) => outcomes.push(outcome),
    })
    expect(outcomes).toEqual(['mounted', 'mounted', 'mounted'])
  })

  test('CVE-2026-50151 an upload on another host gets no credentials', async () => {
    await start({ auth: 'basic', users: { ann: 'secret' } })
    await writeConfig({ auths: { [registry.host]: auth('ann:secret') } })
    const thief = await startTestRegistry({ auth: 'basic' })
    registry.intercept = (request, response) => {
      if (request.method !== 'POST') return false
      response.writeHead(202, { location: `${thief.url}/v2/x/blobs/uploads/1` }).end()
      return true
    }
    const reference = parseImageReference(`${registry.host}/me/new:v2`)
    const error = await pushImage(client(), { reference, blobs: blobs.slice(-1), documents }).catch((caught: Error) => caught)
    await thief.close()
    expect(error).toMatchObject({ code: 'REGISTRY_DENIED' })
    expect(thief.requests.length).toBeGreaterThan(0)
    expect(thief.requests.every(({ authorization }) => authorization === undefined)).toBe(true)
  })
})

const LAB = '127.0.0.1:5000'
const lab = await fetch(`http://${LAB}/v2/`).then(
  (response) => response.ok,
  () => false,
)
const whenLab = testWith(lab, `a registry on ${LAB}`)

for (const [name, platform, flags] of [
  ['library/debian:bookworm', 'linux/amd64', []],
  ['library/multiarch:latest', 'linux/arm64', ['--override-arch', 'arm64']],
] as const) {
  whenLab(`${name} resolves as skopeo sees it`, async () => {
    await start()
    const resolved = await registrySource({ blobs: createMemoryBlobStore(), client: client() }).resolve(
      `${LAB}/${name}`,
      parsePlatform(platform),
    )
    const inspect = (...more: string[]) =>
      execFileSync('skopeo', [...flags, 'inspect', '--tls-verify=false', ...more, `docker://${LAB}/${name}`])
    const seen = JSON.parse(inspect().toString()) as { Layers: string[]; Architecture: string }
    expect(resolved.layers.map(({ digest }) => digest)).toEqual(seen.Layers)
    expect(resolved.platform.architecture).toBe(seen.Architecture)
    expect(JSON.parse(resolved.config.toString())).toEqual(JSON.parse(inspect('--config', '--raw').toString()))
  })
}

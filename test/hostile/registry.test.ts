import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hexOf, sha256 } from '../../src/base/digest.ts'
import { Env } from '../../src/graph/env.ts'
import { kindOfHost, realmProblem, redirectProblem } from '../../src/http/origin.ts'
import { parseImageConfig } from '../../src/sources/image/image-config.ts'
import { ociLayoutSource } from '../../src/sources/layout/oci-layout.ts'
import { RegistryClient } from '../../src/sources/registry/client.ts'
import { registrySource } from '../../src/sources/registry/pull.ts'
import { fetchToBlobStore } from '../../src/sources/registry/verified-blob.ts'
import { askHelper } from '../../src/this-machine/credential-helper.ts'
import { ThisMachine } from '../../src/this-machine/this-machine.ts'
import { parsePlatform } from '../../src/values/platform.ts'
import { createMemoryBlobStore } from '../support/memory-blob-store.ts'
import { blobsOf, document, json, makeImage, makeIndex, type TestImage } from '../support/oci-image.ts'
import { type Intercept, send, startTestRegistry, type TestRegistry, type TestRegistryOptions } from '../support/registry-server.ts'

const amd64 = parsePlatform('linux/amd64')
const image = makeImage()
let home: string
let registry: TestRegistry

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'tbuild-hostile-'))
  await mkdir(join(home, '.docker'))
})
afterEach(async () => {
  await registry?.close()
  await rm(home, { recursive: true })
})

async function start(options: TestRegistryOptions = {}, served: TestImage = image): Promise<void> {
  registry = await startTestRegistry(options)
  registry.addImage('team/app', served, 'v1')
  const auth = Buffer.from('ann:secret').toString('base64')
  await writeFile(join(home, '.docker/config.json'), JSON.stringify({ auths: { [registry.host]: { auth } } }))
}

function source(blobs = createMemoryBlobStore()) {
  const retry = { attempts: 2, delay: 1, maxDelay: 10 }
  return registrySource({
    blobs,
    client: new RegistryClient({ caller: new ThisMachine({ environment: { HOME: home } }), registries: [], retry, idleTimeout: 1000 }),
  })
}

const pull = (blobs = createMemoryBlobStore()) => source(blobs).resolve(`${registry.host}/team/app:v1`, amd64)

/** Answers the requests whose path matches, once the server's own login rules are passed over. */
const answer =
  (path: RegExp, status: number, headers: Record<string, string>, body?: Buffer): Intercept =>
  (request, response) => {
    if (!path.test(request.url ?? '')) return false
    send(response, status, headers, request.method === 'HEAD' ? undefined : body)
    return true
  }

describe('documents', () => {
  const refused = async (served: TestImage, message: RegExp) => {
    await start({}, served)
    await expect(pull()).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: expect.stringMatching(message),
      hint: expect.any(String),
    })
  }

  test('CVE-2021-41190 a manifest that is an index too', () =>
    refused(makeImage({ manifest: { manifests: [] } }), /both a manifest and an index/))

  test('CVE-2021-41190 a Content-Type that contradicts mediaType', async () => {
    const index = makeIndex([image])
    const lying = { ...image, manifest: { ...image.manifest, mediaType: index.mediaType } }
    await refused(lying, /does not fit the content/)
  })

  test('CVE-2021-41190 OCI and Docker types in one manifest', () =>
    refused({ ...image, manifest: { ...image.manifest, mediaType: makeImage({ docker: true }).manifest.mediaType } }, /the server says/))

  test('schema 1 is refused by name', () => refused(makeImage({ manifest: { schemaVersion: 1, fsLayers: [] } }), /schema 1/))

  test.each(['sha256:../../../../etc/passwd', `sha512:${'a'.repeat(128)}`, 'sha256:ABC', '', 7, null])(
    'CVE-2024-3727 the digest %p',
    (digest) =>
      refused(makeImage({ manifest: { layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: 1 }] } }), /digest/),
  )

  test.each([-1, 1.5, '12', 2 ** 60, null])('the size %p', (size) =>
    refused(
      makeImage({ manifest: { layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: sha256('x'), size }] } }),
      /size/,
    ),
  )

  test('CVE-2020-15157 ContainerDrip: a foreign layer comes from the registry, its urls are never asked', async () => {
    const elsewhere = await startTestRegistry()
    const mediaType = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'
    const { layers } = JSON.parse(String(image.manifest.bytes))
    const foreign = layers.map((layer: object) => ({ ...layer, mediaType, urls: [`${elsewhere.url}/layer`] }))
    await start({}, makeImage({ manifest: { layers: foreign } }))
    const pulled = await pull()
    expect(pulled.layers.map((layer) => [layer.mediaType, 'urls' in layer])).toEqual(foreign.map(() => [mediaType, false]))
    expect(elsewhere.requests).toEqual([])
    await elsewhere.close()
  })

  test('an artefact that is no image', () =>
    refused(
      makeImage({ manifest: { config: { mediaType: 'application/vnd.cncf.helm.config.v1+json', digest: sha256('x'), size: 1 } } }),
      /not a container image/,
    ))

  test('diff_ids that do not fit the layers', () =>
    refused(makeImage({ config: { rootfs: { type: 'layers', diff_ids: [] } } }), /2 layers and 0 diff_ids/))

  test.each([
    [{ config: { Env: 'PATH=/bin' } }, /config\.Env/],
    [{ config: { Env: [1] } }, /config\.Env/],
    [{ config: [] }, /config is not an object/],
    [{ config: { OnBuild: { length: 1 } } }, /config\.OnBuild/],
    [{ config: { Labels: { a: 1 } } }, /config\.Labels/],
    [{ config: { Volumes: ['/v'] } }, /config\.Volumes/],
    [{ config: { User: 0 } }, /config\.User/],
    [{ config: { Healthcheck: { Interval: '1s' } } }, /Healthcheck\.Interval/],
    [{ history: { created: 'x' } }, /history is not a list/],
    [{ history: ['x'] }, /history is not a list/],
    [{ history: [{ created: 'yesterday' }] }, /history created/],
    [{ created: 'yesterday' }, /created/],
    [{ created: '2020-02-30T00:00:00Z' }, /created/],
    [{ created: '' }, /created/],
    [{ os: 5 }, /os has the wrong type/],
    [{ architecture: {} }, /architecture has the wrong type/],
    [{ config: { ArgsEscaped: 'true' } }, /config\.ArgsEscaped/],
    [{ config: { ExposedPorts: { '80/tcp': 1 } } }, /config\.ExposedPorts/],
    [{ config: { cmd: 'sh' } }, /config\.Cmd/],
    [{ history: [{ empty_layer: 'no' }] }, /empty_layer/],
    [{ author: {} }, /author/],
  ])('CVE-2024-23650 a config of other types than Go has, %j', (config, message) => refused(makeImage({ config }), message))

  test('null in a config is what is not set: nobody behind meets it', async () => {
    const unset = { Env: null, Cmd: null, Labels: null, Volumes: null, OnBuild: null, Shell: null, Healthcheck: null }
    const file = { author: null, created: null, variant: null, 'os.version': null, 'os.features': null, history: null }
    await start({}, makeImage({ config: { ...file, config: { ...unset, User: 'u', Other: null } } }))
    const { configFile } = await pull()
    expect(configFile.config).toStrictEqual({ User: 'u', Other: null })
    for (const name of Object.keys(file))
      expect([name, configFile[name] ?? undefined, name in configFile]).toEqual([name, undefined, false])
  })

  test('a config nested so deep that recursion would end the process', () => {
    const depth = 100_000
    const deep = JSON.parse(`${'['.repeat(99)}${']'.repeat(99)}`)
    const bytes = Buffer.from(`{"os":"linux","architecture":"amd64","x":${'['.repeat(depth)}${']'.repeat(depth)}}`)
    expect(() => parseImageConfig(bytes, 0, 'image')).toThrow(expect.objectContaining({ code: 'MANIFEST_INVALID' }))
    expect(() => parseImageConfig(json({ os: 'linux', architecture: 'amd64', x: deep }), 0, 'image')).not.toThrow()
  })

  test('CVE-2026-57231 Env without = is an empty variable, whatever the builder has', async () => {
    await start({}, makeImage({ config: { config: { Env: ['PATH=/bin', 'PWD', '', '=x', null] } } }))
    const { configFile } = await pull()
    expect(configFile.config?.Env).toEqual(['PATH=/bin', 'PWD', '', '=x', ''])
    expect(Env.from(configFile.config?.Env ?? []).list()).toEqual(['PATH=/bin', 'PWD='])
  })

  // What docker 28.5 made of bases with these.
  test('what Go decodes is read as Go reads it', async () => {
    const config = {
      ...{
        env: ['A=1'],
        CMD: ['a', null],
        workingdir: '/w',
        Labels: { a: null },
        Volumes: { '/v': null },
        ExposedPorts: { '80/tcp': { x: 1 } },
      },
      ...{ Healthcheck: { Test: null, Retries: null, Interval: -1 }, ArgsEscaped: null },
    }
    const created = '2020-01-01T00:00:00.123456789+02:00'
    await start(
      {},
      makeImage({ config: { os: null, architecture: null, created, config, history: [null, { created_by: null, empty_layer: null }] } }),
    )
    const { configFile } = await pull()
    expect(configFile).toMatchObject({ os: 'linux', architecture: '', created, history: [{}, {}] })
    expect(configFile.config).toStrictEqual({
      ...{ Env: ['A=1'], Cmd: ['a', ''], WorkingDir: '/w', Labels: { a: '' }, Volumes: { '/v': {} }, ExposedPorts: { '80/tcp': {} } },
      ...{ Healthcheck: { Interval: -1 } },
    })
  })

  test('an index of indexes without end', async () => {
    await start()
    let inner = makeIndex([image])
    for (let depth = 0; depth < 5; depth++) {
      registry.addDocument('team/app', inner)
      const { mediaType, digest, bytes } = inner
      inner = document(mediaType, {
        schemaVersion: 2,
        mediaType,
        manifests: [{ mediaType, digest, size: bytes.length, platform: image.platform }],
      })
    }
    registry.addDocument('team/app', inner, 'v1')
    await expect(pull()).rejects.toMatchObject({ code: 'MANIFEST_INVALID', message: expect.stringContaining('nested') })
  })
})

describe('bodies', () => {
  test('a manifest that is not what its digest says', async () => {
    await start({
      intercept: answer(
        /manifests\/sha256/,
        200,
        { 'content-type': image.manifest.mediaType },
        makeImage({ layers: ['evil'] }).manifest.bytes,
      ),
    })
    await expect(pull()).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })

  test('a digest header that is none', async () => {
    await start({ intercept: answer(/manifests\/v1/, 200, { 'docker-content-digest': 'sha256:../../x' }) })
    await expect(pull()).rejects.toMatchObject({ code: 'DIGEST_INVALID' })
  })

  test('CVE-2023-25153 an endless manifest is dropped at the limit', async () => {
    let sent = 0
    await start({
      intercept: (request, response) => {
        if (!request.url?.includes('manifests/sha256')) return false
        const write = (): void => {
          for (let room = true; room && !response.destroyed; sent += 65536) room = response.write(Buffer.alloc(65536, 0x20))
          response.once('drain', write)
        }
        write()
        return true
      },
    })
    await expect(pull()).rejects.toMatchObject({ code: 'MANIFEST_INVALID', message: expect.stringContaining('more than') })
    expect(sent).toBeLessThan(64 * 1024 * 1024)
  })

  test.each([
    ['wrong bytes', (blob: Buffer) => Buffer.alloc(blob.length, 1), 'DIGEST_MISMATCH'],
    ['a longer blob', (blob: Buffer) => Buffer.concat([blob, Buffer.from('x')]), 'SIZE_MISMATCH'],
    ['a truncated blob', (blob: Buffer) => blob.subarray(1), 'SIZE_MISMATCH'],
  ])('%s is not kept', async (_name, change, code) => {
    await start()
    const blobs = createMemoryBlobStore()
    const resolved = await pull(blobs)
    const [layer] = resolved.layers
    if (layer === undefined) throw new Error('no layer')
    registry.intercept = answer(/blobs/, 200, {}, change(image.layers[0] as Buffer))
    await expect(fetchToBlobStore(blobs, layer, () => resolved.fetch(layer), 'layer')).rejects.toMatchObject({ code })
    expect(await blobs.stat(layer.digest)).toBeUndefined()
  })

  test('terminal escapes in an error body are not passed on', async () => {
    const body = json({ errors: [{ code: 'DENIED', message: '\u001b]0;owned\u0007\u202egood' }] })
    await start({ intercept: answer(/./, 400, {}, body) })
    const error = (await pull().catch((caught: Error) => caught)) as Error
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(error.message).not.toMatch(/[\u0000-\u001f\u202e]/)
  })
})

describe('credentials', () => {
  const users = { ann: 'secret' }

  test.each([307, 302])('GHSA-vh4v-2xq2-g5cg a %i to another port gets no credentials, and its 401 no answer', async (status) => {
    const thief = await startTestRegistry({ auth: 'basic' })
    await start({ auth: 'basic', users })
    registry.intercept = (request, response) => {
      if (request.headers.authorization === undefined || !request.url?.includes('manifests')) return false
      send(response, status, { location: `${thief.url}${request.url}` })
      return true
    }
    await expect(pull()).rejects.toMatchObject({ code: 'REGISTRY_DENIED' })
    await thief.close()
    expect(thief.requests).toHaveLength(1)
    expect(thief.requests[0]?.authorization).toBeUndefined()
  })

  test.each([
    'http://169.254.169.254/token',
    'http://0.0.0.0/token',
    'http://[::1]:1/token',
    'http://127.0.0.1:1/token',
    'http://10.0.0.1/token',
    'file:///etc/passwd',
    'nonsense',
  ])('CVE-2026-48978 the token realm %s is not asked', async (realm) => {
    await start({ auth: 'bearer', users, challenge: `Bearer realm="${realm}",service="x"` })
    await expect(pull()).rejects.toMatchObject({ code: 'REGISTRY_REALM_REFUSED' })
  })

  test('CVE-2023-46737 an endless token is dropped', async () => {
    await start({ auth: 'bearer', users, intercept: answer(/^\/token/, 200, {}, Buffer.alloc(128 * 1024, 0x20)) })
    await expect(pull()).rejects.toMatchObject({ code: 'REGISTRY_DENIED', message: expect.stringContaining('65536') })
  })

  test('a token with a line break is no header', async () => {
    await start({ auth: 'bearer', users, intercept: answer(/^\/token/, 200, {}, json({ token: 'a\r\nx-evil: 1' })) })
    await expect(pull()).rejects.toMatchObject({ code: 'REGISTRY_DENIED' })
  })

  test('a registry that answers 401 for ever is left after a few tries', async () => {
    await start({ auth: 'bearer', intercept: answer(/manifests/, 401, { 'www-authenticate': 'Bearer realm="REALM",service="test"' }) })
    registry.intercept = answer(/manifests/, 401, { 'www-authenticate': `Bearer realm="${registry.url}/token",service="test"` })
    await expect(pull()).rejects.toMatchObject({ code: 'REGISTRY_DENIED' })
    expect(registry.requests.length).toBeLessThan(10)
  })

  test.each(['null', '[]', '"x"', '{"Username":1,"Secret":"s"}', '{'])('a helper that answers %s', async (answer) => {
    await writeFile(join(home, 'docker-credential-odd'), `#!/bin/sh\necho '${answer}'\n`, { mode: 0o755 })
    await expect(askHelper('odd', 'h', { PATH: home })).rejects.toMatchObject({ code: 'CREDENTIAL_HELPER_FAILED' })
  })

  test('a helper name with a slash runs nothing', async () => {
    await start({ auth: 'basic', users })
    await writeFile(join(home, '.docker/config.json'), JSON.stringify({ credsStore: '../../tmp/evil' }))
    await expect(pull()).rejects.toMatchObject({ code: 'REGISTRY_DENIED', message: expect.stringContaining('plain word') })
  })
})

describe('addresses', () => {
  test.each([
    ['https://r.example/', 'http://r.example/x', /leaves https/],
    ['https://r.example/', 'https://169.254.169.254/x', /link-local/],
    ['https://r.example/', 'https://0x7f.1/x', /this machine/],
    ['https://r.example/', 'https://[::ffff:169.254.169.254]/x', /link-local/],
    ['https://r.example/', 'https://[::ffff:127.0.0.1]/x', /this machine/],
    ['https://r.example/', 'https://localhost./x', /this machine/],
    ['https://r.example/', 'file:///etc/passwd', /scheme/],
    ['https://r.example/', 'https://user:pass@cdn.example/x', /credentials/],
  ])('ggcr #2293 the redirect %s → %s is refused', (from, to, problem) => {
    expect(redirectProblem(new URL(from), new URL(to))).toMatch(problem)
  })

  test('a CDN of another name is followed, and the realm of Docker Hub is asked', () => {
    expect(
      redirectProblem(new URL('https://registry-1.docker.io/'), new URL('https://production.cloudfront.docker.com/x?sig=1')),
    ).toBeUndefined()
    expect(realmProblem(new URL('https://registry-1.docker.io/'), new URL('https://auth.docker.io/token'))).toBeUndefined()
    expect(realmProblem(new URL('https://10.0.0.1:5000/'), new URL('https://10.0.0.1:5000/auth'))).toBeUndefined()
    expect(kindOfHost('registry.example')).toBe('public')
  })

  test('a loop of redirects ends', async () => {
    await start()
    registry.intercept = answer(/./, 302, { location: `${registry.url}/v2/team/app/manifests/v1` })
    await expect(pull()).rejects.toMatchObject({ code: 'REGISTRY_REDIRECT_REFUSED' })
    expect(registry.requests.length).toBeLessThan(20)
  })
})

describe('OCI layout', () => {
  const layout = async (make: (blobs: string) => Promise<void>) => {
    const blobs = join(home, 'layout/blobs/sha256')
    await mkdir(blobs, { recursive: true })
    const { mediaType, digest, bytes } = image.manifest
    await writeFile(join(home, 'layout/oci-layout'), json({ imageLayoutVersion: '1.0.0' }))
    await writeFile(join(home, 'layout/index.json'), json({ schemaVersion: 2, manifests: [{ mediaType, digest, size: bytes.length }] }))
    for (const blob of [bytes, ...blobsOf(image)]) await writeFile(join(blobs, hexOf(sha256(blob))), blob)
    await make(blobs)
    return ociLayoutSource((name) => new ThisMachine({ workingDirectory: home }).directory(name)).resolve('oci-layout://layout', amd64)
  }
  const configName = hexOf(sha256(image.config))

  test('the positive control', async () => {
    expect((await layout(async () => {})).manifestDigest).toBe(image.manifest.digest)
  })

  test('ggcr 7f937fe5 a blob that is a symlink', async () => {
    const resolved = layout(async (blobs) => {
      await rm(join(blobs, configName))
      await writeFile(join(home, 'secret'), image.config)
      await symlink(join(home, 'secret'), join(blobs, configName))
    })
    await expect(resolved).rejects.toMatchObject({ code: 'OCI_LAYOUT_INVALID', message: expect.stringContaining('symbolic link') })
  })

  test('a blob folder that is a symlink', async () => {
    const resolved = layout(async (blobs) => {
      await rm(blobs, { recursive: true })
      await symlink('/', blobs)
    })
    await expect(resolved).rejects.toMatchObject({ code: 'OCI_LAYOUT_INVALID' })
  })

  test('a blob that is a directory', async () => {
    const resolved = layout(async (blobs) => {
      await rm(join(blobs, configName))
      await mkdir(join(blobs, configName))
    })
    await expect(resolved).rejects.toMatchObject({ code: 'OCI_LAYOUT_INVALID' })
  })

  test('a blob with other bytes', async () => {
    const resolved = layout((blobs) => writeFile(join(blobs, configName), image.config.toString().replace('amd64', 'arm64')))
    await expect(resolved).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })
})

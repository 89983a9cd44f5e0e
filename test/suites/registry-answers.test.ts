import type { ServerResponse } from 'node:http'
import { afterEach, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../src/base/digest.ts'
import { RegistryClient } from '../../src/sources/registry/client.ts'
import { registrySource } from '../../src/sources/registry/pull.ts'
import { pushImage } from '../../src/sources/registry/push.ts'
import { ThisMachine } from '../../src/this-machine/this-machine.ts'
import { parseImageReference } from '../../src/values/image-reference.ts'
import { MediaType } from '../../src/values/oci.ts'
import { parsePlatform } from '../../src/values/platform.ts'
import { createMemoryBlobStore } from '../support/memory-blob-store.ts'
import { blobsOf, json, makeImage } from '../support/oci-image.ts'
import { type Intercept, send, startTestRegistry, type TestRegistry, type TestRegistryOptions } from '../support/registry-server.ts'

/** Answers of registries and of what stands before them: what is tried again, and what is said. */
const image = makeImage({ layers: ['one', 'two'] })
let registry: TestRegistry
let client: RegistryClient

afterEach(async () => {
  await client.close()
  await registry.close()
})

async function start(options: TestRegistryOptions = {}): Promise<void> {
  registry = await startTestRegistry(options)
  registry.addImage('team/app', image, 'v1')
  client = new RegistryClient({
    caller: new ThisMachine({ environment: { HOME: '/nowhere' } }),
    registries: [],
    retry: { attempts: 3, delay: 1, maxDelay: 50 },
  })
}

const pull = (name = 'team/app:v1') =>
  registrySource({ blobs: createMemoryBlobStore(), client }).resolve(`${registry.host}/${name}`, parsePlatform('linux/amd64'))

const { bytes, mediaType, digest } = image.manifest
function push(layers = blobsOf(image)) {
  const blobs = layers.map((data) => ({
    descriptor: { mediaType: MediaType.ociLayer, digest: sha256(data), size: data.length },
    open: async function* () {
      yield data
    },
  }))
  const documents = [{ bytes, descriptor: { mediaType, digest, size: bytes.length } }]
  return pushImage(client, { reference: parseImageReference(`${registry.host}/me/new:v2`), blobs, documents })
}

type Answer = (response: ServerResponse) => void
const saying =
  (status: number, body?: object | string, headers: Record<string, string> = {}): Answer =>
  (response) =>
    send(
      response,
      status,
      { 'content-type': 'application/json', ...headers },
      typeof body === 'string' ? Buffer.from(body) : body && json(body),
    )
const errors = (code: string, message: string, detail?: unknown) => ({ errors: [{ code, message, detail }] })

/** The first `times` requests of the method whose path matches. */
function answering(method: string, path: RegExp, answer: Answer, times = Number.POSITIVE_INFINITY): Intercept {
  let left = times
  return (request, response) => {
    if (request.method !== method || !path.test(request.url ?? '') || left-- <= 0) return false
    request.resume()
    request.on('end', () => answer(response))
    return true
  }
}

const asked = (method: string, path: RegExp) => registry.requests.filter((one) => one.method === method && path.test(one.path)).length
const MANIFESTS = /\/manifests\//
const UPLOADS = /\/blobs\/uploads\//

describe('a push that is refused says so, and that another try is in vain', () => {
  test.each([
    [
      'a manifest',
      MANIFESTS,
      saying(400, errors('MANIFEST_INVALID', 'manifest invalid', { reason: 'annotation too long' })),
      /:v2: push: .* answered 400: MANIFEST_INVALID: manifest invalid \(\{"reason":"annotation too long"\}\)$/,
      /^mend what the registry names/,
    ],
    [
      'a tag that may not move',
      MANIFESTS,
      saying(409, errors('TAG_INVALID', 'the repository is immutable')),
      /:v2: push: .* answered 409: TAG_INVALID: the repository is immutable$/,
      /another try will end the same$/,
    ],
    ['a type', MANIFESTS, saying(415), /:v2: push: .* answered 415$/, /oci-mediatypes=false/],
    [
      'a blob, by a proxy',
      UPLOADS,
      saying(413, '<html>413</html>', { 'content-type': 'text/html' }),
      /me\/new: push: .* answered 413$/,
      /client_max_body_size/,
    ],
    [
      'a repository that is not there',
      UPLOADS,
      saying(404, errors('NAME_UNKNOWN', 'no such repository')),
      /me\/new: push: .* answered 404: NAME_UNKNOWN: no such repository$/,
      /wants? the repository to be made/,
    ],
    [
      'by a redirect',
      UPLOADS,
      saying(308, '', { location: 'https://other.example/v2/' }),
      /answered 308, a redirect to https:\/\/other\.example\/v2\/$/,
      /name the registry by the address/,
    ],
    [
      'a full disk',
      UPLOADS,
      saying(507, 'no room left on the device', { 'content-type': 'text/plain' }),
      /answered 507: no room left on the device$/,
      /no room/,
    ],
    ['of a server that takes none', UPLOADS, saying(501), /answered 501$/, /takes no push/],
  ])('%s', async (_what, path, answer, message, hint) => {
    await start()
    registry.blobs.clear()
    const method = path === MANIFESTS ? 'PUT' : 'POST'
    registry.intercept = answering(method, path, answer)
    await expect(push()).rejects.toMatchObject({
      code: 'REGISTRY_REFUSED',
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    })
    expect(registry.documents.has('me/new:v2')).toBe(false)
    expect(asked(method, path)).toBeLessThanOrEqual(4)
  })

  test('by a login that may not', async () => {
    await start()
    registry.blobs.clear()
    registry.intercept = answering('POST', UPLOADS, saying(403, errors('DENIED', 'requested access to the resource is denied', 'push')))
    await expect(push()).rejects.toMatchObject({
      code: 'REGISTRY_DENIED',
      message: expect.stringMatching(/me\/new: push: access denied \(.* answered 403: DENIED: .* \(push\)\), with no credentials$/),
      hint: expect.stringMatching(/^the login may not push there/),
    })
  })

  test('what the registry says is bounded, and no terminal obeys it', async () => {
    await start()
    registry.intercept = answering('PUT', MANIFESTS, saying(400, errors('X', `\u001b[2J${'y'.repeat(10_000)}`, { a: 'z'.repeat(10_000) })))
    const { message } = await push().then(
      () => new Error('pushed'),
      (error: Error) => error,
    )
    expect(message.length).toBeLessThan(800)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(message).not.toMatch(/[\u0000-\u001f]/)
  })

  test('the first failure ends the other uploads', async () => {
    await start()
    registry.blobs.clear()
    let uploads = 0
    registry.intercept = (request, response) => {
      if (request.method !== 'PUT' || !UPLOADS.test(request.url ?? '')) return false
      // The others never end by themselves.
      if (uploads++ === 2) saying(400, errors('DIGEST_INVALID', 'no'))(response)
      return true
    }
    await expect(push()).rejects.toMatchObject({ code: 'REGISTRY_REFUSED', message: expect.stringContaining('DIGEST_INVALID') })
  })
})

describe('an upload', () => {
  test.each([
    ['404 BLOB_UPLOAD_UNKNOWN: its session is lost', saying(404, errors('BLOB_UPLOAD_UNKNOWN', 'unknown'))],
    ['416: the registry has another part of it', saying(416)],
    ['500', saying(500)],
    ['a connection that breaks', (response: ServerResponse) => response.destroy()],
  ])('%s begins anew', async (_what, answer) => {
    await start()
    registry.blobs.clear()
    registry.intercept = answering('PUT', UPLOADS, answer, 1)
    await push(blobsOf(image).slice(0, 1))
    expect([asked('POST', UPLOADS), asked('PUT', UPLOADS)]).toEqual([2, 2])
    expect(registry.documents.has('me/new:v2')).toBe(true)
  })

  test.each([429, 503])('%i is sent again to where it was', async (status) => {
    await start()
    registry.blobs.clear()
    registry.intercept = answering('PUT', UPLOADS, saying(status, '', { 'retry-after': '0' }), 1)
    await push(blobsOf(image).slice(0, 1))
    expect([asked('POST', UPLOADS), asked('PUT', UPLOADS)]).toEqual([1, 2])
  })

  test('that is lost again and again ends', async () => {
    await start()
    registry.blobs.clear()
    registry.intercept = answering('PUT', UPLOADS, saying(404, errors('BLOB_UPLOAD_UNKNOWN', 'blob upload unknown')))
    await expect(push(blobsOf(image).slice(0, 1))).rejects.toMatchObject({
      code: 'REGISTRY_REFUSED',
      message: expect.stringMatching(/push: .*BLOB_UPLOAD_UNKNOWN/),
    })
    expect(asked('POST', UPLOADS)).toBe(3)
  })

  test.each([405, 501])('a registry that answers HEAD with %i is sent the blob', async (status) => {
    await start()
    registry.intercept = answering('HEAD', /\/blobs\//, saying(status))
    await push()
    expect(registry.documents.has('me/new:v2')).toBe(true)
  })
})

describe('a pull', () => {
  test('names the tag that is missing, and what the registry says', async () => {
    await start()
    await expect(pull('team/app:v9')).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
      message: `${registry.host}/team/app:v9: pull: not found (${registry.host} answered 404: MANIFEST_UNKNOWN: manifest_unknown)`,
    })
  })

  test.each([404, 405, 501])('is made by GET where HEAD answers %i', async (status) => {
    await start()
    registry.intercept = answering('HEAD', MANIFESTS, saying(status))
    expect((await pull()).manifestDigest).toBe(digest)
  })

  test.each([
    [400, 'REGISTRY_REFUSED'],
    [403, 'REGISTRY_DENIED'],
  ])('that is refused by %i says why, though an answer to HEAD has no reason', async (status, code) => {
    await start()
    registry.intercept = (_request, response) => {
      saying(status, errors('QUARANTINED', 'the scan found something'))(response)
      return true
    }
    await expect(pull()).rejects.toMatchObject({
      code,
      message: expect.stringMatching(/team\/app:v1: pull: .*QUARANTINED: the scan found something/),
    })
  })

  test.each([
    [400, 'REGISTRY_REFUSED', /another try/],
    [405, 'REGISTRY_REFUSED', /is it a registry/],
    [418, 'REGISTRY_REFUSED', /another try/],
    [429, 'REGISTRY_UNREACHABLE', /^wait/],
    [502, 'REGISTRY_UNREACHABLE', /^try again later/],
  ])('%i', async (status, code, hint) => {
    await start()
    registry.intercept = (_request, response) => {
      saying(status, '', { 'retry-after': '0' })(response)
      return true
    }
    await expect(pull()).rejects.toMatchObject({ code, message: expect.stringContaining(':v1: pull: '), hint: expect.stringMatching(hint) })
  })

  test('a token server that is not there is named, with the image', async () => {
    await start({ auth: 'bearer' })
    const challenge = `Bearer realm="${registry.url}/token",service="test"`
    registry.challenge = () => challenge
    registry.intercept = (request, response) => {
      if (!request.url?.startsWith('/token')) return false
      response.destroy()
      return true
    }
    await expect(pull()).rejects.toMatchObject({
      code: 'REGISTRY_UNREACHABLE',
      message: `${registry.host}/team/app: the token server: cannot reach ${registry.host}: the connection was broken`,
    })
  })

  test.each([
    [401, 'REGISTRY_DENIED', /log in again: `docker login 127/],
    [404, 'REGISTRY_DENIED', /owner/],
    [503, 'REGISTRY_UNREACHABLE', /later/],
  ])('a token server that answers %i, with its words', async (status, code, hint) => {
    await start({ auth: 'bearer' })
    registry.intercept = answering('GET', /^\/token/, saying(status, { details: 'incorrect username or password' }))
    await expect(pull()).rejects.toMatchObject({
      code,
      message: expect.stringMatching(/team\/app: the token server .* answered \d+: incorrect username or password/),
      hint: expect.stringMatching(hint),
    })
  })
})

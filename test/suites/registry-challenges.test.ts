import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../src/base/digest.ts'
import { RegistryClient } from '../../src/sources/registry/client.ts'
import { registrySource } from '../../src/sources/registry/pull.ts'
import { type PushBlob, pushImage } from '../../src/sources/registry/push.ts'
import { ThisMachine } from '../../src/this-machine/this-machine.ts'
import { parseImageReference } from '../../src/values/image-reference.ts'
import { MediaType } from '../../src/values/oci.ts'
import { parsePlatform } from '../../src/values/platform.ts'
import { createMemoryBlobStore } from '../support/memory-blob-store.ts'
import { blobsOf, makeImage } from '../support/oci-image.ts'
import { startTestRegistry, type TestRegistry, type TestRegistryOptions } from '../support/registry-server.ts'

/** What a registry asks of several requests at once: each is answered by what it sent itself. */
const users = { ann: 'secret' }
const image = makeImage({ layers: ['one', 'two', 'three', 'four', 'five'] })
let registry: TestRegistry
let home: string
let client: RegistryClient

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'tbuild-challenges-'))
})
afterEach(async () => {
  await client.close()
  await registry.close()
  rmSync(home, { recursive: true })
})

async function start(options: TestRegistryOptions, login = 'ann:secret'): Promise<void> {
  registry = await startTestRegistry({ users, ...options })
  mkdirSync(join(home, '.docker'))
  const auths = { [registry.host]: { auth: Buffer.from(login).toString('base64') } }
  writeFileSync(join(home, '.docker/config.json'), JSON.stringify({ auths }))
  client = new RegistryClient({
    caller: new ThisMachine({ environment: { HOME: home } }),
    registries: [],
    retry: { attempts: 3, delay: 1, maxDelay: 50 },
  })
}

const blobs = (from?: (index: number) => string): PushBlob[] =>
  blobsOf(image).map((data, index) => ({
    descriptor: { mediaType: MediaType.ociLayer, digest: sha256(data), size: data.length },
    open: async function* () {
      yield data
    },
    ...(from === undefined ? {} : { from: from(index) }),
  }))
const { bytes, mediaType, digest } = image.manifest
const documents = [{ bytes, descriptor: { mediaType, digest, size: bytes.length } }]
const push = (pushed = blobs()) =>
  pushImage(client, { reference: parseImageReference(`${registry.host}/me/new:v2`), blobs: pushed, documents })
const tokenRequests = () => registry.requests.filter(({ path }) => path.startsWith('/token')).length

/** Answers of 401 are held back until `count` of them can be given together, as a registry that is far away does. */
function together(count: number): void {
  const waiting: (() => void)[] = []
  registry.intercept = (request, response) => {
    if (request.headers.authorization !== undefined || !request.url?.includes('/blobs/')) return false
    const refuse = () => {
      response.writeHead(401, { 'www-authenticate': registry.challenge('/v2/me/new/blobs/x'), 'content-length': 0 }).end()
    }
    if (waiting.push(refuse) >= count) for (const answer of waiting.splice(0)) answer()
    return true
  }
}

describe('several requests at once', () => {
  test.each(['basic', 'bearer'] as const)('%s: a push of several blobs with one login', async (auth) => {
    await start({ auth })
    await push()
    expect(registry.documents.has('me/new:v2')).toBe(true)
    if (auth === 'bearer') expect(tokenRequests()).toBe(1)
  })

  test.each(['basic', 'bearer'] as const)('%s: four answers of 401 together share one login', async (auth) => {
    await start({ auth })
    together(4)
    await push()
    expect(tokenRequests()).toBe(auth === 'bearer' ? 1 : 0)
  })

  test('basic: a pull of several layers', async () => {
    await start({ auth: 'basic' })
    registry.addImage('team/app', image, 'v1')
    const found = await registrySource({ blobs: createMemoryBlobStore(), client }).resolve(
      `${registry.host}/team/app:v1`,
      parsePlatform('linux/amd64'),
    )
    const other = new RegistryClient({ caller: new ThisMachine({ environment: { HOME: home } }), registries: [] })
    const repository = other.repository(registry.host, 'team/app')
    const all = await Promise.all(found.layers.map(async (layer) => buffer(await repository.blob(layer.digest))))
    await other.close()
    expect(all).toEqual(image.layers)
  })

  test('basic: a login that is refused ends the push, after one try for each request', async () => {
    await start({ auth: 'basic' }, 'ann:wrong')
    await expect(push()).rejects.toMatchObject({ code: 'REGISTRY_DENIED', message: expect.stringContaining('config.json') })
    expect(registry.requests.filter(({ authorization }) => authorization !== undefined).length).toBeLessThanOrEqual(4)
  })
})

describe('tokens', () => {
  test('one that runs out in the middle of a push is replaced once, whoever notices', async () => {
    await start({ auth: 'bearer' })
    await push(blobs().slice(0, 1))
    const before = tokenRequests()
    registry.forgetTokens()
    registry.blobs.clear()
    await push()
    expect(registry.documents.has('me/new:v2')).toBe(true)
    expect(tokenRequests() - before).toBe(1)
  })

  test('blobs of several repositories are mounted with the right of each', async () => {
    await start({ auth: 'bearer', strictScopes: true })
    registry.addImage('lib/a', image)
    registry.intercept = (request, response) => {
      if (request.method !== 'HEAD' || request.headers.authorization === undefined) return false
      response.writeHead(404).end()
      return true
    }
    const outcomes: string[] = []
    await pushImage(client, {
      reference: parseImageReference(`${registry.host}/me/new:v2`),
      blobs: blobs((index) => `lib/${index % 2 === 0 ? 'a' : 'b'}`),
      documents,
      onBlob: (_descriptor, outcome) => outcomes.push(outcome),
    })
    expect(new Set(outcomes)).toEqual(new Set(['mounted']))
  })

  test('a repository that may not be read is not mounted from: the blob is sent', async () => {
    await start({ auth: 'bearer', strictScopes: true })
    registry.intercept = (request, response) => {
      if (!request.url?.startsWith('/token') || !decodeURIComponent(request.url).includes('repository:lib/secret:pull')) return false
      response.writeHead(403).end()
      return true
    }
    const outcomes: string[] = []
    await pushImage(client, {
      reference: parseImageReference(`${registry.host}/me/new:v2`),
      blobs: blobs(() => 'lib/secret'),
      documents,
      onBlob: (_descriptor, outcome) => outcomes.push(outcome),
    })
    expect(new Set(outcomes)).toEqual(new Set(['sent']))
  })
})

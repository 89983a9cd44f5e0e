import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../src/base/digest.ts'
import { RegistryClient } from '../../src/sources/registry/client.ts'
import { registrySource } from '../../src/sources/registry/pull.ts'
import { ThisMachine } from '../../src/this-machine/this-machine.ts'
import { parsePlatform } from '../../src/values/platform.ts'
import { createMemoryBlobStore } from '../support/memory-blob-store.ts'
import { makeImage, type TestImage } from '../support/oci-image.ts'
import { send, startTestRegistry, type TestRegistry } from '../support/registry-server.ts'

const amd64 = parsePlatform('linux/amd64')
const image = makeImage()
const folder = mkdtempSync(join(tmpdir(), 'tbuild-mirrors-'))
afterAll(() => rmSync(folder, { recursive: true }))

let primary: TestRegistry
let mirror: TestRegistry
beforeEach(async () => {
  primary = await startTestRegistry()
  mirror = await startTestRegistry()
  primary.addImage('team/app', image, 'v1')
})
afterEach(async () => {
  await primary.close()
  await mirror.close()
})

/** Resolves an image of corp.example and fetches its layers, as registries.conf leads to the two registries. */
async function pull(reference: string, mirrors: string, registry = ''): Promise<TestImage['layers']> {
  const file = join(folder, 'registries.conf')
  writeFileSync(file, `[[registry]]\nprefix = "corp.example/team"\nlocation = "${primary.host}/team"\n${registry}\n${mirrors}`)
  const environment = { HOME: folder, CONTAINERS_REGISTRIES_CONF: file }
  const client = new RegistryClient({
    caller: new ThisMachine({ environment }),
    retry: { attempts: 2, delay: 1, maxDelay: 5 },
    idleTimeout: 500,
  })
  try {
    const found = await registrySource({ blobs: createMemoryBlobStore(), client }).resolve(`corp.example/team/${reference}`, amd64)
    return await Promise.all(found.layers.map(async (layer) => buffer(await found.fetch(layer))))
  } finally {
    await client.close()
  }
}

const table = (host: string, more = '') => `[[registry.mirror]]\nlocation = "${host}/cache/team"\n${more}\n`
const asked = ({ requests }: TestRegistry) => requests.filter(({ path }) => path !== '/v2/').map(({ method, path }) => `${method} ${path}`)

describe('mirrors of registries.conf', () => {
  test('one that has the image serves all of it', async () => {
    mirror.addImage('cache/team/app', image, 'v1')
    expect(await pull('app:v1', table(mirror.host))).toEqual(image.layers)
    expect(asked(primary)).toEqual([])
    expect(asked(mirror)[0]).toBe('HEAD /v2/cache/team/app/manifests/v1')
  })

  test('one that lacks it, or a blob of it, is passed over', async () => {
    expect(await pull('app:v1', table(mirror.host))).toEqual(image.layers)
    mirror.addImage('cache/team/app', image, 'v1')
    mirror.blobs.delete(sha256(image.layers[1] as Buffer))
    primary.requests.length = 0
    expect(await pull('app:v1', table(mirror.host))).toEqual(image.layers)
    expect(asked(primary)).toEqual([expect.stringContaining('/blobs/')])
  })

  test('one that is gone is asked once; the next is asked, then the registry', async () => {
    const gone = await startTestRegistry()
    await gone.close()
    mirror.addImage('cache/team/app', image, 'v1')
    expect(await pull('app:v1', `${table(gone.host)}${table(mirror.host)}`)).toEqual(image.layers)
    expect(asked(primary)).toEqual([])
    mirror.documents.clear()
    mirror.blobs.clear()
    expect(await pull('app:v1', `${table(gone.host)}${table(mirror.host)}`)).toEqual(image.layers)
    await expect(pull('app:v2', table(mirror.host))).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
      message: expect.stringContaining(primary.host),
    })
  })

  /** Two images of one base after the other, as a build with two FROM has them. */
  async function pullTwice(host: string): Promise<void> {
    const mirrors = [{ location: `${host}/cache`, insecure: false, serves: 'all' }] as const
    const entry = { prefix: primary.host, location: primary.host, insecure: false, blocked: false, mirrors }
    const client = new RegistryClient({
      caller: new ThisMachine({ environment: { HOME: folder } }),
      registries: [entry],
      retry: { attempts: 2, delay: 1, maxDelay: 5 },
    })
    try {
      const source = registrySource({ blobs: createMemoryBlobStore(), client })
      for (const name of ['team/app:v1', 'team/other:v1']) {
        primary.addImage('team/other', image, 'v1')
        const found = await source.resolve(`${primary.host}/${name}`, amd64)
        for (const layer of found.layers) await buffer(await found.fetch(layer))
      }
    } finally {
      await client.close()
    }
  }

  test('one that cannot be reached is not asked again, for no image of the build', async () => {
    let connections = 0
    const broken = createServer((socket) => {
      connections += 1
      socket.destroy()
    })
    await new Promise<void>((resolve) => broken.listen(0, '127.0.0.1', resolve))
    await pullTwice(`127.0.0.1:${(broken.address() as AddressInfo).port}`)
    broken.close()
    // With TLS and without, then the tries of the first request.
    expect(connections).toBe(4)
  })

  test('one that answers with a failure is not asked again for that image only', async () => {
    mirror.intercept = (_, response) => {
      send(response, 503, {})
      return true
    }
    await pullTwice(mirror.host)
    expect(asked(mirror)).toEqual(['app', 'app', 'other', 'other'].map((name) => `HEAD /v2/cache/team/${name}/manifests/v1`))
  })

  test('what a mirror claims is compared with the digest: another image is refused by it, and the registry is asked', async () => {
    const other = makeImage({ layers: ['evil'] })
    mirror.addImage('cache/team/app', other, 'v1')
    mirror.documents.set(`cache/team/app@${image.manifest.digest}`, other.manifest)
    expect(await pull(`app@${image.manifest.digest}`, table(mirror.host))).toEqual(image.layers)
  })

  test.each([
    ['pull-from-mirror = "digest-only"', '', false, true],
    ['pull-from-mirror = "tag-only"', '', true, false],
    ['pull-from-mirror = "all"', '', true, true],
    ['', 'mirror-by-digest-only = true', false, true],
  ])('%s %s', async (more, registry, tag, digest) => {
    mirror.addImage('cache/team/app', image, 'v1')
    await pull('app:v1', table(mirror.host, more), registry)
    expect(mirror.requests.length > 0).toBe(tag)
    mirror.requests.length = 0
    await pull(`app@${image.manifest.digest}`, table(mirror.host, more), registry)
    expect(mirror.requests.length > 0).toBe(digest)
  })

  test('a blocked registry is blocked, with its mirrors', async () => {
    await expect(pull('app:v1', table(mirror.host), 'blocked = true')).rejects.toMatchObject({ code: 'REGISTRY_DENIED' })
  })
})

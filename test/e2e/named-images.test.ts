import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../src/base/digest.ts'
import { build } from '../../src/build.ts'
import type { BuildOptions } from '../../src/build-options.ts'
import { openStore } from '../../src/store/store.ts'
import { makeImage } from '../support/oci-image.ts'
import { packTar } from '../support/pack-tar.ts'
import { startTestRegistry, type TestRegistry } from '../support/registry-server.ts'

/** `-t` is a name in the store: what has it can be built on afterwards, without the registry or the cache that its layers came from. */
let registry: TestRegistry
let folder = ''
let store = ''
beforeEach(async () => {
  registry = await startTestRegistry()
  // The second layer takes away what the first has: it means nothing by itself.
  const layers = [packTar([{ name: 'kept' }, { name: 'gone' }]), packTar([{ name: '.wh.gone' }, { name: 'second' }])]
  registry.addImage('base', makeImage({ layers: layers.map((layer) => layer.toString()) }), '1')
  folder = mkdtempSync(join(tmpdir(), 'tbuild-named-'))
  store = join(folder, 'store')
  mkdirSync(join(folder, 'context'))
  writeFileSync(join(folder, 'context/file'), 'of the context\n')
})
afterEach(async () => {
  await registry.close()
  rmSync(folder, { recursive: true, force: true })
})

async function run(dockerfile: string, options: Partial<BuildOptions> = {}): Promise<void> {
  const context = join(folder, 'context')
  writeFileSync(join(context, 'Dockerfile'), dockerfile.replaceAll('REGISTRY', registry.host))
  await build({ context, root: store, environment: { HOME: folder }, ...options })
}

async function names(): Promise<string[]> {
  const opened = await openStore(store)
  const images = await opened.images.list()
  await opened.close()
  return images.map(({ name }) => name)
}

/** Everything is gone that the image was made from. */
async function filesOf(name: string): Promise<string[]> {
  registry.blobs.clear()
  registry.documents.clear()
  const dest = join(folder, 'files')
  await run(`FROM ${name}\nCOPY file /more\n`, { outputs: [{ type: 'local', dest }] })
  return readdirSync(dest).sort()
}

const layers = () => readdirSync(join(store, 'v1/layers')).filter((name) => !name.endsWith('.json'))
const isLayer = ({ path }: { path: string }) => path.startsWith('/v2/base/blobs/')
const CACHED = 'FROM REGISTRY/base:1\nCOPY file /copied\n'

describe('an image with a name is usable afterwards', () => {
  test('where nothing needed the layers of its base', async () => {
    await run('FROM REGISTRY/base:1\nLABEL a=1\n', { tags: ['own:1'] })
    expect(layers()).toEqual([])
    expect(await names()).toEqual(['docker.io/library/own:1'])
    expect(await filesOf('own:1')).toEqual(['kept', 'more', 'second'])
  })

  test('where all steps came from a cache', async () => {
    const cache = join(folder, 'cache')
    await run(CACHED, { root: join(folder, 'first'), cacheTo: [{ type: 'local', dest: cache, mode: 'max' }] })
    await run(CACHED, { tags: ['own:1'], cacheFrom: [{ type: 'local', src: cache }] })
    expect(layers()).toEqual([])
    rmSync(cache, { recursive: true })
    expect(await names()).toEqual(['docker.io/library/own:1'])
    expect(await filesOf('own:1')).toEqual(['copied', 'kept', 'more', 'second'])
  })

  test('with the name of an output that is not pushed', async () => {
    await run('FROM REGISTRY/base:1\nLABEL a=1\n', { outputs: [{ type: 'image', name: 'own:1', push: false }] })
    expect(await filesOf('own:1')).toEqual(['kept', 'more', 'second'])
  })

  test('with a name beside that of the registry', async () => {
    const outputs: BuildOptions['outputs'] = [{ type: 'image', name: `${registry.host}/team/app:1`, push: true }]
    await run('FROM REGISTRY/base:1\nLABEL a=1\n', { tags: ['own:1'], outputs })
    expect(await filesOf('own:1')).toEqual(['kept', 'more', 'second'])
  })

  test('and the one that had the name stays when a layer cannot be had', async () => {
    await run('FROM scratch\nCOPY file /old\n', { tags: ['own:1'] })
    const layer = (path: string) => isLayer({ path }) && !path.endsWith(String(configDigest()))
    registry.intercept = (request, response) => layer(request.url ?? '') && response.writeHead(404).end() !== undefined
    await expect(run('FROM REGISTRY/base:1\nLABEL a=1\n', { tags: ['own:1'] })).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    expect(await filesOf('own:1')).toEqual(['more', 'old'])
  })
})

const configDigest = () => JSON.parse(registry.documents.get('base:1')?.bytes.toString() ?? '').config.digest

test('after a layer that cannot be had nothing goes on behind the failed build', async () => {
  const many = Array.from({ length: 10 }, (_, index) => packTar([{ name: `file-${index}` }]).toString())
  const image = makeImage({ layers: many })
  registry.addImage('many', image, '1')
  const [first] = image.layers.map((layer) => sha256(layer))
  registry.intercept = (request, response) => {
    if (request.url === `/v2/many/blobs/${first}`) response.writeHead(404).end()
    // The others come late, so that all that was begun would be seen.
    else if (image.layers.some((layer) => request.url?.endsWith(sha256(layer)))) setTimeout(() => response.writeHead(404).end(), 300)
    else return false
    return true
  }
  await expect(run('FROM REGISTRY/many:1\nLABEL a=1\n', { tags: ['own:1'] })).rejects.toMatchObject({ code: expect.any(String) })
  // Those that were on their way when it ended.
  await new Promise((resolve) => setTimeout(resolve, 100))
  const asked = registry.requests.length
  expect(readdirSync(join(store, 'v1/leases'))).toEqual([])
  await new Promise((resolve) => setTimeout(resolve, 800))
  expect(registry.requests.length).toBe(asked)
  expect(readdirSync(join(store, 'v1/leases'))).toEqual([])
}, 20_000)

test('a build without a name, and one that is cached, fetch nothing for it', async () => {
  await run('FROM REGISTRY/base:1\nLABEL a=1\n')
  expect(registry.requests.filter(isLayer)).toHaveLength(1)
  await run('FROM REGISTRY/base:1\nLABEL a=1\n', { tags: ['own:1'] })
  registry.requests.length = 0
  await run('FROM REGISTRY/base:1\nLABEL a=1\n', { tags: ['own:1'] })
  expect(registry.requests.filter(isLayer)).toEqual([])
})

test('a name that is pushed is one of the registry: layers that it has are not fetched for the store', async () => {
  const name = `${registry.host}/team/app:1`
  registry.requests.length = 0
  await run('FROM REGISTRY/base:1\nLABEL a=1\n', { tags: [name], outputs: [{ type: 'image', push: true }] })
  expect(registry.requests.filter(isLayer)).toHaveLength(1)
  const dest = join(folder, 'files')
  await run(`FROM ${name}\nCOPY file /more\n`, { outputs: [{ type: 'local', dest }] })
  expect(readFileSync(join(dest, 'more'), 'utf8')).toBe('of the context\n')
})

describe('what nothing refers to is collected by itself', () => {
  const garbage = () => {
    const layer = join(store, `v1/layers/${'a'.repeat(32)}`)
    mkdirSync(join(layer, 'fs'), { recursive: true })
    utimesSync(join(store, 'v1/gc-time'), 1, 1)
    return layer
  }

  test('after a build that fetched layers and ran no step', async () => {
    const cache = join(folder, 'cache')
    await run(CACHED, { root: join(folder, 'first'), cacheTo: [{ type: 'local', dest: cache, mode: 'max' }] })
    await run('FROM scratch\nCOPY file /old\n')
    const layer = garbage()
    await run(CACHED, { tags: ['own:1'], cacheFrom: [{ type: 'local', src: cache }] })
    expect(existsSync(layer)).toBe(false)
  })

  test('not after one that wrote nothing', async () => {
    await run(CACHED, { tags: ['own:1'] })
    const layer = garbage()
    await run(CACHED, { tags: ['own:1'] })
    expect(existsSync(layer)).toBe(true)
  })
})

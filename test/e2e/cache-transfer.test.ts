import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../src/base/digest.ts'
import type { BuildEvent } from '../../src/base/events.ts'
import { build } from '../../src/build.ts'
import type { BuildOptions, BuildResult, CacheExportSpec, CacheImportSpec } from '../../src/build-options.ts'
import { plan } from '../../src/plan.ts'
import type { Descriptor, ImageConfigFile, Manifest } from '../../src/values/oci.ts'
import { script, tbuild } from '../support/cli.ts'
import { startTestRegistry, type TestRegistry } from '../support/registry-server.ts'

/** Builds that have nothing but a cache that another machine left: every build has a store of its own. */
let registry: TestRegistry
let folder = ''
let context = ''
let stores = 0
beforeEach(async () => {
  registry = await startTestRegistry()
  registry.addLayout('library/busybox', script('busybox-layout.mjs').stdout.trim())
  folder = mkdtempSync(join(tmpdir(), 'tbuild-transfer-'))
  context = mkdtempSync(join(folder, 'context-'))
  write('Dockerfile', DOCKERFILE.replaceAll('REGISTRY', registry.host))
  write('a.txt', 'first\nsecond\n')
  write('b.txt', 'b\n')
}, 300_000)
afterEach(async () => {
  await registry.close()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

const DOCKERFILE = `FROM REGISTRY/library/busybox AS build
RUN echo tools > /tools
COPY a.txt /src/
COPY b.txt /src/
RUN head -n 1 /src/a.txt > /first

FROM REGISTRY/library/busybox
COPY --from=build /first /first
COPY --link a.txt /linked/
RUN cp /first /second
LABEL version=1
`
const STEPS = [
  'RUN echo tools > /tools',
  'COPY a.txt /src/',
  'COPY b.txt /src/',
  'RUN head -n 1 /src/a.txt > /first',
  'COPY --from=build /first /first',
  'COPY --link a.txt /linked/',
  'RUN cp /first /second',
]

interface Ended {
  readonly result: BuildResult
  readonly store: string
  readonly ran: readonly string[]
  readonly cached: readonly string[]
  readonly messages: readonly string[]
  readonly executed: number
}

/** On a cold store unless one is given. */
async function run(options: Partial<BuildOptions> = {}): Promise<Ended> {
  stores += 1
  const root = join(folder, `store-${stores}`)
  const events: BuildEvent[] = []
  const result = await build({ context, root, environment: { HOME: folder }, ...options }, { onEvent: (event) => events.push(event) })
  const names = new Map(events.flatMap((event) => (event.type === 'vertex' ? [[event.id, event.name.replace(/^\[[^\]]*\] /, '')]] : [])))
  const done = (cached: boolean) =>
    events
      .flatMap((event) => (event.type === 'done' && event.cached === cached ? [names.get(event.id) ?? ''] : []))
      .filter((name) => STEPS.includes(name))
  const messages = events.flatMap((event) => (event.type === 'notice' || event.type === 'warning' ? [event.message] : []))
  return {
    result,
    store: options.root ?? root,
    ran: done(false),
    cached: done(true),
    messages,
    executed: result.steps.total - result.steps.cached,
  }
}

const write = (name: string, text: string) => writeFileSync(join(context, name), text)
const idOf = ({ result }: Ended) => result.images[0]?.configDigest
const layerFolders = (store: string) =>
  existsSync(join(store, 'v1/layers')) ? readdirSync(join(store, 'v1/layers')).filter((name) => !name.endsWith('.json')) : []
const gets = () => registry.requests.filter(({ method, path }) => method === 'GET' && path.includes('/blobs/')).map(({ path }) => path)

function cacheManifest(): Manifest {
  const document = registry.documents.get('app:cache')
  if (document === undefined) throw new Error('no cache was pushed')
  return JSON.parse(document.bytes.toString())
}

const places: [string, () => { to: CacheExportSpec; from: CacheImportSpec }][] = (['min', 'max'] as const).flatMap((mode) => [
  [
    `local, ${mode}`,
    () => ({
      to: { type: 'local', dest: join(folder, 'cache'), mode },
      from: { type: 'local', src: join(folder, 'cache') },
    }),
  ],
  [
    `registry, ${mode}`,
    () => ({
      to: { type: 'registry', ref: `${registry.host}/app:cache`, mode },
      from: { type: 'registry', ref: `${registry.host}/app:cache` },
    }),
  ],
])

describe.each(places)('%s', (_name, place) => {
  test('a cold store runs no step, unpacks nothing and makes the same image', async () => {
    const { to, from } = place()
    const first = await run({ cacheTo: [to] })
    expect(first.ran).toHaveLength(STEPS.length)
    const second = await run({ cacheFrom: [from], tags: ['app'] })
    expect(second.ran).toEqual([])
    expect(new Set(second.cached)).toEqual(new Set(STEPS))
    expect(idOf(second)).toBe(idOf(first))
    expect(layerFolders(second.store)).toEqual([])
    expect(second.messages).toEqual([])
  }, 120_000)

  test('what is exported from it is the same archive', async () => {
    const { to, from } = place()
    const [one, two] = [join(folder, 'one.tar'), join(folder, 'two.tar')]
    await run({ cacheTo: [to], outputs: [{ type: 'oci', dest: one, tar: true }] })
    const second = await run({ cacheFrom: [from], outputs: [{ type: 'oci', dest: two, tar: true }] })
    expect(second.ran).toEqual([])
    expect(layerFolders(second.store)).toEqual([])
    expect(readFileSync(two).equals(readFileSync(one))).toBe(true)
  }, 120_000)

  test('its files are there when they are wanted', async () => {
    const { to, from } = place()
    await run({ cacheTo: [to] })
    const dest = join(folder, 'files')
    expect((await run({ cacheFrom: [from], outputs: [{ type: 'local', dest }] })).ran).toEqual([])
    expect(readFileSync(join(dest, 'second'), 'utf8')).toBe('first\n')
    expect(readFileSync(join(dest, 'linked/a.txt'), 'utf8')).toBe('first\nsecond\n')
  }, 120_000)
})

describe('a changed file', () => {
  test('mode=max: only what follows runs; what is equal again hits', async () => {
    const dest = join(folder, 'cache')
    await run({ cacheTo: [{ type: 'local', dest, mode: 'max' }] })
    write('b.txt', 'changed\n')
    const { ran, cached } = await run({ cacheFrom: [{ type: 'local', src: dest }] })
    expect(ran).toEqual(['COPY b.txt /src/', 'RUN head -n 1 /src/a.txt > /first'])
    expect(cached).toEqual(expect.arrayContaining(['RUN echo tools > /tools', 'RUN cp /first /second']))
  }, 120_000)

  test('mode=min: the files of another stage are not in the cache, so that stage runs, and the target hits again', async () => {
    const dest = join(folder, 'cache')
    const first = await run({ cacheTo: [{ type: 'local', dest, mode: 'min' }] })
    write('b.txt', 'changed\n')
    const { ran, result, messages } = await run({ cacheFrom: [{ type: 'local', src: dest }] })
    expect(ran).toEqual(STEPS.slice(0, 4))
    expect(result.images[0]?.configDigest).toBe(idOf(first))
    expect(messages).toEqual([])
  }, 120_000)
})

describe('registry', () => {
  test('metadata only while nothing needs a layer, and only the layers of the image when it is exported', async () => {
    const ref = `${registry.host}/app:cache`
    await run({ cacheTo: [{ type: 'registry', ref, mode: 'max' }] })
    const { config, layers } = cacheManifest()
    expect(config.mediaType).toBe('application/vnd.buildkit.cacheconfig.v0')
    // The base's, too; what COPY --from copies has the same tar as the layer that it comes from.
    expect(layers).toHaveLength(STEPS.length)
    registry.requests.length = 0
    await run({ cacheFrom: [{ type: 'registry', ref }] })
    // The config of the base image, and the cache's.
    expect(gets()).toHaveLength(2)
    expect(gets()).toContain(`/v2/app/blobs/${config.digest}`)
    registry.requests.length = 0
    await run({ cacheFrom: [{ type: 'registry', ref }], outputs: [{ type: 'oci', dest: join(folder, 'a.tar'), tar: true }] })
    expect(gets().filter((path) => layers.some(({ digest }) => path === `/v2/app/blobs/${digest}`))).toHaveLength(3)
    // The base's own is fetched from its image.
    expect(gets().filter((path) => path.startsWith('/v2/library/busybox/blobs/'))).toHaveLength(2)
  }, 120_000)

  test('pushed again by a build that took everything from it, nothing is sent or fetched', async () => {
    const ref = `${registry.host}/app:cache`
    await run({ cacheTo: [{ type: 'registry', ref, mode: 'max' }] })
    const before = cacheManifest()
    registry.requests.length = 0
    await run({ cacheFrom: [{ type: 'registry', ref }], cacheTo: [{ type: 'registry', ref, mode: 'max' }] })
    expect(
      cacheManifest()
        .layers.map(({ digest }) => digest)
        .sort(),
    ).toEqual(before.layers.map(({ digest }) => digest).sort())
    expect(gets().filter((path) => before.layers.some(({ digest }) => path.endsWith(digest)))).toEqual([])
    expect((await run({ cacheFrom: [{ type: 'registry', ref }] })).ran).toEqual([])
  }, 120_000)

  test('a cached image is pushed without fetching a layer: the registry mounts them from the cache', async () => {
    const ref = `${registry.host}/app:cache`
    const first = await run({ cacheTo: [{ type: 'registry', ref, mode: 'max' }] })
    const cached = cacheManifest().layers.map(({ digest }) => digest)
    // The test's registry knows blobs without repositories; a real one says that this one has none yet.
    registry.intercept = (request, response) => {
      if (request.method !== 'HEAD' || !request.url?.startsWith('/v2/team/app/blobs/')) return false
      response.writeHead(404)
      response.end()
      return true
    }
    registry.requests.length = 0
    const outputs: BuildOptions['outputs'] = [{ type: 'image', push: true }]
    const second = await run({ cacheFrom: [{ type: 'registry', ref }], tags: [`${registry.host}/team/app:1`], outputs })
    expect(idOf(second)).toBe(idOf(first))
    const touched = registry.requests
      .map(({ method, path }) => `${method} ${decodeURIComponent(path)}`)
      .filter((request) => !request.startsWith('HEAD') && cached.some((digest) => request.includes(digest)))
    expect(touched).toHaveLength(4)
    for (const request of touched) expect(request).toMatch(/^POST \/v2\/team\/app\/blobs\/uploads\/\?mount=.*&from=(app|library\/busybox)$/)
  }, 120_000)

  test('a bare reference to an image with an inline cache; its config has no build argument of another stage', async () => {
    const name = `${registry.host}/team/app:1`
    write('Dockerfile', `${DOCKERFILE.replaceAll('REGISTRY', registry.host).replace('AS build\n', 'AS build\nARG TOKEN=x\n')}`)
    const buildArgs = { TOKEN: 'not-for-everyone' }
    const inline: Partial<BuildOptions> = { cacheTo: [{ type: 'inline' }], buildArgs }
    const first = await run({ ...inline, tags: [name], outputs: [{ type: 'image', push: true }] })
    const config = registry.blobs.get(idOf(first) as string)?.toString() ?? ''
    expect(config).toContain('"moby.buildkit.cache.v0"')
    expect(config).not.toContain('not-for-everyone')
    const second = await run({
      ...inline,
      cacheFrom: [{ type: 'registry', ref: name }],
      outputs: [{ type: 'local', dest: join(folder, 'f') }],
    })
    expect(second.ran).toEqual([])
    expect(readFileSync(join(folder, 'f/second'), 'utf8')).toBe('first\n')
    write('Dockerfile', `FROM ${name}\nLABEL next=1\n`)
    const next = await run({ tags: ['next'] })
    const stored = readFileSync(join(next.store, 'v1/oci/blobs/sha256', String(idOf(next)).slice(7)), 'utf8')
    expect(stored).not.toContain('buildkit.cache')
  }, 120_000)
})

test('several caches: the first that has a record wins, and one that is not there yet is only told of', async () => {
  const [one, two] = [join(folder, 'one'), join(folder, 'two')]
  const first = await run({ cacheTo: [{ type: 'local', dest: one, mode: 'max' }] })
  const second = await run({ cacheTo: [{ type: 'local', dest: two, mode: 'max' }] })
  const from: CacheImportSpec[] = [join(folder, 'none'), one, two].map((src) => ({ type: 'local', src }))
  const again = await run({ cacheFrom: from })
  expect(again.ran).toEqual([])
  expect(again.messages).toEqual([`there is no cache ${join(folder, 'none')} yet`])
  // The steps are in both; the first one's times are taken.
  expect(idOf(again)).toBe(idOf(first))
  expect(idOf(again)).not.toBe(idOf(second))
}, 120_000)

test("what was fetched is the store's own: the next build needs no cache for it, and the store is in order", async () => {
  const dest = join(folder, 'cache')
  const dockerfile = `FROM ${registry.host}/library/busybox\nCOPY a.txt /first\nRUN cp /first /second\n`
  write('Dockerfile', dockerfile)
  await run({ cacheTo: [{ type: 'local', dest, mode: 'max' }] })
  const from: CacheImportSpec[] = [{ type: 'local', src: dest }]
  const outputs: BuildOptions['outputs'] = [{ type: 'oci', dest: join(folder, 'a.tar'), tar: true }]
  const { store } = await run({ cacheFrom: from, outputs })
  rmSync(dest, { recursive: true })
  write('Dockerfile', `${dockerfile}RUN cp /second /third\n`)
  const files = join(folder, 'files')
  const { cached } = await run({ root: store, outputs: [{ type: 'local', dest: files }] })
  expect(cached).toContain('RUN cp /first /second')
  expect(readFileSync(join(files, 'third'), 'utf8')).toBe('first\nsecond\n')
  const { stdout } = tbuild(['verify-store', '--root', store])
  expect(stdout).toContain('all is well')
}, 120_000)

/** As BuildKit's daemon writes it, though not docker's: layers without files are left out. */
function withoutEmptyLayers(dest: string): number {
  const path = (digest: string) => join(dest, 'blobs/sha256', digest.slice(7))
  const read = (digest: string) => JSON.parse(readFileSync(path(digest), 'utf8'))
  const write = (value: unknown) => {
    const text = JSON.stringify(value)
    writeFileSync(path(sha256(text)), text)
    return { digest: sha256(text), size: text.length }
  }
  const index = JSON.parse(readFileSync(join(dest, 'index.json'), 'utf8'))
  const manifest = read(index.manifests[0].digest)
  const config = read(manifest.config.digest)
  const diffIds = new Map(
    manifest.layers.map(({ digest, annotations }: Descriptor) => [digest, annotations?.['containerd.io/uncompressed']]),
  )
  const isEmpty = ({ blob }: { blob: string }) => diffIds.get(blob) === sha256(Buffer.alloc(1024))
  const above = (at: number): number => (at !== -1 && isEmpty(config.layers[at]) ? above(config.layers[at].parent ?? 0) : at)
  for (const layer of config.layers) layer.parent = above(layer.parent ?? 0)
  for (const { layers = [] } of config.records) for (const result of layers) result.layer = above(result.layer)
  Object.assign(manifest.config, write(config))
  Object.assign(index.manifests[0], write(manifest))
  writeFileSync(join(dest, 'index.json'), JSON.stringify(index))
  return config.layers.filter(isEmpty).length
}

test('a step that made nothing has its empty layer, though the cache has none', async () => {
  const from = `FROM ${registry.host}/library/busybox`
  write('Dockerfile', `${from}\nRUN true\nCOPY a.txt /a\nRUN true\nRUN cp /a /b\nRUN true\n`)
  const dest = join(folder, 'cache')
  const diffIds = (name: string) => readConfig(join(folder, name)).rootfs.diff_ids
  await run({ cacheTo: [{ type: 'local', dest, mode: 'max' }], outputs: [{ type: 'oci', dest: join(folder, 'one'), tar: false }] })
  expect(withoutEmptyLayers(dest)).toBeGreaterThan(0)
  const second = await run({ cacheFrom: [{ type: 'local', src: dest }], outputs: [{ type: 'oci', dest: join(folder, 'two'), tar: false }] })
  expect([second.executed, second.messages]).toEqual([0, []])
  expect(diffIds('two')).toEqual(diffIds('one'))
  expect(diffIds('two')).toHaveLength(6)
}, 120_000)

function readConfig(layout: string): ImageConfigFile {
  const read = (digest: string) => JSON.parse(readFileSync(join(layout, 'blobs/sha256', digest.slice(7)), 'utf8'))
  return read(read(JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')).manifests[0].digest).config.digest)
}

test('a directory does not grow with every build, and one that holds an image is not written to', async () => {
  const dest = join(folder, 'cache')
  const count = () => readdirSync(join(dest, 'blobs/sha256')).length
  await run({ cacheTo: [{ type: 'local', dest, mode: 'max' }] })
  const before = count()
  for (const text of ['x\n', 'y\n']) {
    write('b.txt', text)
    await run({ cacheTo: [{ type: 'local', dest, mode: 'max' }] })
  }
  expect(count()).toBe(before)
  const layout = join(folder, 'layout')
  await run({ tags: ['app:latest'], outputs: [{ type: 'oci', dest: layout, tar: false }] })
  const index = readFileSync(join(layout, 'index.json'), 'utf8')
  await expect(run({ cacheTo: [{ type: 'local', dest: layout }] })).rejects.toMatchObject({ code: 'CACHE_EXPORT_REFUSED' })
  expect(readFileSync(join(layout, 'index.json'), 'utf8')).toBe(index)
}, 120_000)

test('an export that fails fails the build, unless its errors are to be ignored', async () => {
  write('file', '')
  const dest = join(context, 'file/below')
  await expect(run({ cacheTo: [{ type: 'local', dest }] })).rejects.toMatchObject({ code: expect.any(String) })
  const { messages } = await run({ cacheTo: [{ type: 'local', dest, ignoreError: true }] })
  expect(messages).toEqual([expect.stringContaining('the cache was not exported')])
}, 120_000)

test('a secret is in no cache', async () => {
  write('Dockerfile', `FROM ${registry.host}/library/busybox\nRUN --mount=type=secret,id=s wc -c < /run/secrets/s > /size\n`)
  const dest = join(folder, 'cache')
  const secrets = [{ id: 's', source: { env: 'S' } }]
  const environment = { HOME: folder, S: 'correct horse battery staple' }
  await run({ secrets, environment, cacheTo: [{ type: 'local', dest, mode: 'max' }] })
  for (const name of readdirSync(join(dest, 'blobs/sha256'))) {
    expect(readFileSync(join(dest, 'blobs/sha256', name)).includes('correct horse')).toBe(false)
  }
}, 120_000)

test('explain asks the cache, too', async () => {
  const dest = join(folder, 'cache')
  await run({ cacheTo: [{ type: 'local', dest, mode: 'max' }] })
  const states = async (cacheFrom: readonly CacheImportSpec[]) => {
    const events: BuildEvent[] = []
    await plan(
      { context, root: join(folder, 'cold'), environment: { HOME: folder }, cacheFrom },
      { onEvent: (event) => events.push(event) },
    )
    return new Set(events.flatMap((event) => (event.type === 'explain' ? [event.verdict.state] : [])))
  }
  expect(await states([])).toEqual(new Set(['miss', 'unknown']))
  expect(await states([{ type: 'local', src: dest }])).toEqual(new Set(['hit']))
}, 120_000)

test('a build that is ended while caches are asked for leaves no connection open, and says of none that it was read', async () => {
  const sockets = new Set<Socket>()
  const stop = new AbortController()
  registry.intercept = ({ socket, url }) => {
    if (url?.startsWith('/v2/library/') !== true) sockets.add(socket)
    if (url?.includes('/v2/hangs/') !== true) return false
    setTimeout(() => stop.abort(), 200)
    return true
  }
  const cacheFrom: CacheImportSpec[] = ['quick', 'hangs'].map((name) => ({ type: 'registry', ref: `${registry.host}/${name}:cache` }))
  const options = { context, root: join(folder, 'cold'), environment: { HOME: folder }, cacheFrom }
  const events: BuildEvent[] = []
  const hooks = { signal: stop.signal, onEvent: (event: BuildEvent) => events.push(event) }
  await expect(build(options, hooks)).rejects.toMatchObject({ code: 'CANCELED' })
  const ends = (id: string) => events.filter((event) => (event.type === 'done' || event.type === 'failed') && event.id === id)
  expect(ends('import-2')).toEqual([expect.objectContaining({ type: 'failed', canceled: true })])
  expect(sockets.size).toBeGreaterThan(1)
  // Idle ones are kept for seconds.
  await sleep(500)
  expect([...sockets].filter(({ destroyed }) => !destroyed)).toHaveLength(0)
}, 60_000)

const touched = (year: string) =>
  `FROM ${registry.host}/library/busybox AS base\nRUN touch -d ${year}-01-01 /old\nFROM base\nRUN --mount=type=bind,from=base,target=/base stat -c %y /old > /when\n`

test('a RUN with a mount of its own base is not found by the content of the base, which has no times', async () => {
  const dest = join(folder, 'cache')
  write('Dockerfile', touched('2020'))
  await run({ cacheTo: [{ type: 'local', dest, mode: 'max' }] })
  const from: CacheImportSpec[] = [{ type: 'local', src: dest }]
  const output = (name: string): Partial<BuildOptions> => ({ outputs: [{ type: 'local', dest: join(folder, name) }] })
  const same = await run({ cacheFrom: from, ...output('same') })
  expect([same.executed, readFileSync(join(folder, 'same/when'), 'utf8')]).toEqual([0, expect.stringContaining('2020')])
  write('Dockerfile', touched('2021'))
  await run({ cacheFrom: from, ...output('other') })
  expect(readFileSync(join(folder, 'other/when'), 'utf8')).toContain('2021')
}, 120_000)

test('an inline cache is the same in every image that is made of the same steps', async () => {
  const [one, two] = [join(folder, 'one'), join(folder, 'two')]
  const outputs: BuildOptions['outputs'] = [
    { type: 'oci', dest: one, tar: false },
    { type: 'oci', dest: two, tar: false, epoch: 0 },
  ]
  await run({ cacheTo: [{ type: 'inline' }], outputs })
  const configs = [one, two].map((layout) => {
    const read = (digest: string) => JSON.parse(readFileSync(join(layout, 'blobs/sha256', digest.slice(7)), 'utf8'))
    const { manifests } = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8'))
    return read(read(manifests[0].digest).config.digest)
  })
  const [first, second] = configs.map((config) => JSON.parse(Buffer.from(config['moby.buildkit.cache.v0'], 'base64').toString()))
  expect(first.filter(({ layers }: { layers?: unknown }) => layers !== undefined)).toHaveLength(3)
  expect(second).toEqual(first)
  expect(configs[1].created).not.toBe(configs[0].created)
}, 120_000)

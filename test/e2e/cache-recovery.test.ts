import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../src/base/digest.ts'
import type { BuildEvent } from '../../src/base/events.ts'
import { build } from '../../src/build.ts'
import type { CacheImportSpec } from '../../src/build-options.ts'
import type { Descriptor } from '../../src/values/oci.ts'
import { makeImage } from '../support/oci-image.ts'
import { packTar } from '../support/pack-tar.ts'
import { startTestRegistry, type TestRegistry } from '../support/registry-server.ts'

/** A cache promised a layer and does not have it: the build leaves the cache out, and runs what it had taken from it. What else is under way goes on. */
const imageWith = (name: string) => makeImage({ layers: [packTar([{ name, data: `${name}\n` }]).toString()] })
const [BASE, OTHER] = [imageWith('base'), imageWith('other')]
let registry: TestRegistry
let folder = ''
let context = ''
beforeEach(async () => {
  registry = await startTestRegistry()
  registry.addImage('base', BASE, '1')
  registry.addImage('other', OTHER, '1')
  folder = mkdtempSync(join(tmpdir(), 'tbuild-recovery-'))
  context = join(folder, 'context')
  mkdirSync(context)
})
afterEach(async () => {
  await registry.close()
  rmSync(folder, { recursive: true, force: true })
})

const write = (name: string, text: string) => writeFileSync(join(context, name), text.replaceAll('REGISTRY', registry.host))

/** A layer of a step, in a cache's manifest. */
const ownLayer = ({ layers }: { layers: Descriptor[] }): Descriptor =>
  layers.find(({ digest }) => digest !== sha256(BASE.layers[0] as Buffer)) as Descriptor

/** The cache has the stage `a`, whose files the build then needs, but not its layer: the registry says so when `other` is under way. */
async function cacheWithout(other: () => Promise<void>): Promise<CacheImportSpec[]> {
  write('Dockerfile', 'FROM REGISTRY/base:1 AS a\nCOPY a /a\n')
  write('a', 'a\n')
  const ref = `${registry.host}/app:cache`
  const first = join(folder, 'first')
  await build({ context, root: first, environment: { HOME: folder }, cacheTo: [{ type: 'registry', ref, mode: 'max' }] })
  const manifest = JSON.parse(registry.documents.get('app:cache')?.bytes.toString() ?? '{}')
  const copied = ownLayer(manifest)
  intercept((request, response) => {
    if (request.url !== `/v2/app/blobs/${copied.digest}`) return false
    void other().then(() => response.writeHead(404).end())
    return true
  })
  return [{ type: 'registry', ref }]
}

function intercept(own: (request: IncomingMessage, response: ServerResponse) => boolean): void {
  const before = registry.intercept
  registry.intercept = (request, response, server) => own(request, response) || before?.(request, response, server) === true
}

/** The request is answered only when the cache has been left out. */
function hold(path: string) {
  let [requests, come, release] = [0, () => {}, () => {}]
  const came = new Promise<void>((resolve) => {
    come = resolve
  })
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  intercept((request, response) => {
    if (request.method !== 'GET' || request.url !== path) return false
    requests += 1
    come()
    void released.then(() => response.end(OTHER.layers[0]))
    return true
  })
  return { came: () => came, release: () => release(), requests: () => requests }
}

/** Beside the stage that is in the cache another one that begins with `step`. */
const dockerfile = (step: string) => `FROM REGISTRY/base:1 AS a
COPY a /a

FROM REGISTRY/base:1 AS b
${step}

FROM REGISTRY/base:1
COPY --from=a /a /copied
COPY --from=b /b /b
`

/** Builds it without the cache in the end; gives the file that `step` makes. */
async function recovered(step: string, cacheFrom: CacheImportSpec[], onLeftOut = () => {}) {
  write('Dockerfile', dockerfile(step))
  const events: BuildEvent[] = []
  const dest = join(folder, 'files')
  const options = { context, root: join(folder, 'second'), environment: { HOME: folder }, cacheFrom }
  const onEvent = (event: BuildEvent) => {
    events.push(event)
    if (event.type === 'warning') onLeftOut()
  }
  await build({ ...options, outputs: [{ type: 'local', dest }] }, { onEvent })
  const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []))
  expect(warnings).toEqual([expect.stringContaining('is not used any more')])
  expect(readFileSync(join(dest, 'copied'), 'utf8')).toBe('a\n')
  // Each step but those of the cache began once.
  const begun = events.flatMap((event) => (event.type === 'started' ? [event.id] : []))
  expect(begun.length).toBe(new Set(begun).size)
  return readFileSync(join(dest, 'b'))
}

describe('what does not stand on the cache goes on', () => {
  test('while a large file of the context was being hashed', async () => {
    const cacheFrom = await cacheWithout(() => new Promise((resolve) => setTimeout(resolve, 100)))
    write('b', '')
    truncateSync(join(context, 'b'), 256 << 20)
    expect((await recovered('COPY b /', cacheFrom)).length).toBe(256 << 20)
  })

  test('while the layers of another image were being pulled', async () => {
    const pull = hold(`/v2/other/blobs/${sha256(OTHER.layers[0] as Buffer)}`)
    const cacheFrom = await cacheWithout(pull.came)
    expect((await recovered('COPY --from=REGISTRY/other:1 /other /b', cacheFrom, pull.release)).toString()).toBe('other\n')
    expect(pull.requests()).toBe(1)
  })
})

describe('a cache in a directory that is damaged', () => {
  const directory = () => join(folder, 'cache')
  const blobOf = (digest: string) => join(directory(), 'blobs/sha256', digest.slice('sha256:'.length))
  const tagged = (tag: string): Descriptor => {
    const { manifests } = JSON.parse(readFileSync(join(directory(), 'index.json'), 'utf8'))
    return manifests.find(({ annotations }: Descriptor) => annotations?.['org.opencontainers.image.ref.name'] === tag)
  }
  const manifestOf = (tag: string) => JSON.parse(readFileSync(blobOf(tagged(tag).digest), 'utf8'))
  let stores = 0
  /** With a store that knows nothing; gives the steps that ran, and the warnings. */
  async function cold(from: readonly string[], to: string) {
    const names = new Map<string, string>()
    const [ran, warnings]: string[][] = [[], []]
    const onEvent = (event: BuildEvent) => {
      if (event.type === 'vertex') names.set(event.id, event.name)
      if (event.type === 'done' && !event.cached && names.get(event.id)?.includes('COPY')) ran?.push(event.id)
      if (event.type === 'warning') warnings?.push(event.message)
    }
    stores += 1
    const options = {
      ...{ context, root: join(folder, `store-${stores}`), environment: { HOME: folder } },
      cacheFrom: from.map((tag) => ({ type: 'local' as const, src: directory(), tag })),
      cacheTo: [{ type: 'local' as const, dest: directory(), tag: to, mode: 'max' as const }],
    }
    await build(options, { onEvent })
    return { ran: ran?.length, warnings: warnings?.length }
  }
  beforeEach(() => {
    write('Dockerfile', 'FROM REGISTRY/base:1\nCOPY a /a\nCOPY b /b\n')
    write('a', 'a\n')
    write('b', 'b\n')
  })

  test('fails no build that exports to it, and is whole again after a build that ran the steps', async () => {
    expect(await cold([], 'x')).toEqual({ ran: 2, warnings: 0 })
    rmSync(blobOf(ownLayer(manifestOf('x')).digest))
    expect((await cold(['x'], 'x')).warnings).toBe(1)
    await cold(['x'], 'x')
    expect(await cold(['x'], 'x')).toEqual({ ran: 0, warnings: 0 })
  })

  test('one tag of it costs no other its layers', async () => {
    await cold([], 'bad')
    await cold([], 'good')
    write('b', 'other\n')
    await cold([], 'bad')
    const { config } = manifestOf('bad')
    writeFileSync(blobOf(config.digest), 'x'.repeat(config.size))
    write('b', 'b\n')
    expect(await cold(['bad', 'good'], 'good')).toEqual({ ran: 0, warnings: 1 })
    expect(await cold(['good'], 'good')).toEqual({ ran: 0, warnings: 0 })
  })
})

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { hexOf, sha256 } from '../../src/base/digest.ts'
import type { BuildEvent } from '../../src/base/events.ts'
import type { Descriptor } from '../../src/base/oci.ts'
import { build } from '../../src/build.ts'
import type { BuildOptions, CacheImportSpec } from '../../src/build-options.ts'
import { script } from '../support/cli.ts'
import { startTestRegistry, type TestRegistry } from '../support/registry-server.ts'

/**
 * Caches that were damaged or made to do harm. Whatever is in them: the build ends well, its image has the right files, and a warning says which cache is not
 * used. (That a record names the wrong, but whole, layers cannot be seen: who imports a cache trusts it, docs/cache.md.)
 */
let registry: TestRegistry
let folder = ''
let context = ''
let honest = ''
let count = 0
/** The copy of the cache that a test damages. */
let cache = ''

beforeAll(async () => {
  registry = await startTestRegistry()
  registry.addLayout('library/busybox', script('busybox-layout.mjs').stdout.trim())
  folder = mkdtempSync(join(tmpdir(), 'tbuild-hostile-cache-'))
  context = join(folder, 'context')
  mkdirSync(context)
  const from = `FROM ${registry.host}/library/busybox`
  writeFileSync(join(context, 'Dockerfile'), `${from}\nCOPY a /a\nCOPY b /b\nCOPY c /c\n`)
  for (const name of ['a', 'b', 'c']) writeFileSync(join(context, name), `content of ${name}\n`.repeat(50))
  honest = join(folder, 'honest')
  await run([], { cacheTo: [{ type: 'local', dest: honest, mode: 'max' }] })
}, 300_000)
afterAll(async () => {
  await registry.close()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)
beforeEach(() => {
  registry.intercept = undefined
  cache = join(folder, `cache-${++count}`)
  mkdirSync(join(cache, 'blobs/sha256'), { recursive: true })
  for (const name of ['oci-layout', 'index.json']) writeFileSync(join(cache, name), readFileSync(join(honest, name)))
  for (const name of readdirSync(join(honest, 'blobs/sha256'))) put(readFileSync(join(honest, 'blobs/sha256', name)))
})

async function run(cacheFrom: readonly CacheImportSpec[], options: Partial<BuildOptions> = {}) {
  const root = join(folder, `store-${++count}`)
  const events: BuildEvent[] = []
  const around = { context, root, environment: { HOME: folder }, cacheFrom }
  const result = await build({ ...around, ...options }, { onEvent: (event) => events.push(event) })
  const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []))
  const notices = events.flatMap((event) => (event.type === 'notice' ? [event.message] : []))
  return { result, warnings, notices }
}

/** A build of everything that was promised: the files of every layer are wanted. */
async function expectRightFiles(from: CacheImportSpec = { type: 'local', src: cache }) {
  const dest = join(folder, `files-${++count}`)
  const { warnings, notices } = await run([from], { outputs: [{ type: 'local', dest }] })
  for (const name of ['a', 'b', 'c']) expect(readFileSync(join(dest, name), 'utf8')).toBe(`content of ${name}\n`.repeat(50))
  expect(readdirSync(join(dest, 'bin')).length).toBeGreaterThan(5)
  return { warnings, notices }
}

/** The same through the blobs alone: nothing is unpacked. */
async function expectRightArchive(from: CacheImportSpec = { type: 'local', src: cache }) {
  const dest = join(folder, `layout-${++count}`)
  const { warnings } = await run([from], { outputs: [{ type: 'oci', dest, tar: false }] })
  const read = (digest: string) => JSON.parse(readFileSync(join(dest, 'blobs/sha256', digest.slice(7)), 'utf8'))
  const index = JSON.parse(readFileSync(join(dest, 'index.json'), 'utf8'))
  const manifest = read(index.manifests[0].digest)
  const { gunzipSync } = await import('node:zlib')
  const diffIds = manifest.layers.map(({ digest }: Descriptor) =>
    sha256(gunzipSync(readFileSync(join(dest, 'blobs/sha256', hexOf(digest))))),
  )
  expect(diffIds).toEqual(read(manifest.config.digest).rootfs.diff_ids)
  return warnings
}

type Loose = Record<string, unknown>
interface Parts {
  readonly manifest: Loose & { config: Loose & Descriptor; layers: (Loose & Descriptor)[] }
  readonly document: Loose & { layers: (Loose & { diffId: string; blob?: string })[]; records: (Loose & { layers: number[] })[] }
}

const path = (digest: string) => join(cache, 'blobs/sha256', digest.slice(7))
function put(bytes: Buffer): { digest: string; size: number } {
  const digest = sha256(bytes)
  writeFileSync(path(digest), bytes)
  return { digest, size: bytes.length }
}
const json = (file: string) => JSON.parse(readFileSync(file, 'utf8'))
const manifestDigest = () => json(join(cache, 'index.json')).manifests[0].digest as string
const configFile = () => path(json(path(manifestDigest())).config.digest)
const layersOf = () => json(path(manifestDigest())).layers as Descriptor[]

/** Changes the cache, with all digests put right. */
function forge(change: (parts: Parts) => void): void {
  const index = json(join(cache, 'index.json'))
  const manifest = json(path(manifestDigest()))
  const document = json(path(manifest.config.digest))
  const before = JSON.stringify(manifest.config)
  change({ manifest, document })
  if (JSON.stringify(manifest.config) === before) Object.assign(manifest.config, put(Buffer.from(JSON.stringify(document))))
  Object.assign(index.manifests[0], put(Buffer.from(JSON.stringify(manifest))))
  writeFileSync(join(cache, 'index.json'), JSON.stringify(index))
}

/** What the registry serves as `app:cache`. */
function serve(): CacheImportSpec {
  const bytes = readFileSync(path(manifestDigest()))
  registry.addDocument('app', { mediaType: 'application/vnd.oci.image.manifest.v1+json', bytes, digest: sha256(bytes) }, 'cache')
  for (const name of readdirSync(join(cache, 'blobs/sha256'))) {
    registry.blobs.set(`sha256:${name}`, readFileSync(join(cache, 'blobs/sha256', name)))
  }
  return { type: 'registry', ref: `${registry.host}/app:cache` }
}

test('the honest cache is used without a word', async () => {
  expect(await expectRightFiles()).toEqual({ warnings: [], notices: [] })
  expect(await expectRightArchive(serve())).toEqual([])
}, 60_000)

describe('a layer that is not what the cache says', () => {
  const damages: [string, () => void, RegExp][] = [
    ['truncated', () => truncateSync(path(layersOf()[1]?.digest as string), 20), /wrong size|expected|altered|bytes/],
    [
      'other bytes',
      () => writeFileSync(path(layersOf()[1]?.digest as string), Buffer.alloc(layersOf()[1]?.size as number)),
      /digest|altered/,
    ],
    ['not there', () => rmSync(path(layersOf()[1]?.digest as string)), /no blob|not found/],
    [
      'a symlink to a file of the host',
      () => {
        const file = path(layersOf()[1]?.digest as string)
        renameSync(file, join(folder, 'elsewhere'))
        symlinkSync(join(folder, 'elsewhere'), file)
      },
      /not a regular file/,
    ],
    [
      'the blob of another layer',
      () =>
        forge(({ document }) => {
          const [one, other] = document.layers.filter(({ blob }) => blob !== undefined)
          Object.assign(one as Loose, { blob: other?.blob })
        }),
      /unpacks to/,
    ],
    [
      'a blob with more in it',
      () =>
        forge(({ manifest, document }) => {
          const evil = put(gzipSync(Buffer.alloc(10_240)))
          const layer = document.layers.find(({ blob }) => blob !== undefined) as Loose
          const descriptor = manifest.layers.find(({ digest }) => digest === layer.blob) as Loose
          Object.assign(descriptor, evil)
          layer.blob = evil.digest
        }),
      /unpacks to/,
    ],
    [
      'a wrong diffId',
      () =>
        forge(({ document }) => {
          const layer = document.layers.find(({ blob }) => blob !== undefined) as Loose
          layer.diffId = sha256('something else')
        }),
      /unpacks to/,
    ],
    [
      'bytes that are no gzip',
      () =>
        forge(({ manifest, document }) => {
          const evil = put(Buffer.from('no gzip at all'))
          const layer = document.layers.find(({ blob }) => blob !== undefined) as Loose
          Object.assign(manifest.layers.find(({ digest }) => digest === layer.blob) as Loose, evil)
          layer.blob = evil.digest
        }),
      /./,
    ],
  ]

  test.each(damages)(
    '%s: its files are made anew',
    async (_name, damage, problem) => {
      damage()
      const { warnings } = await expectRightFiles()
      expect(warnings).toEqual([expect.stringMatching(problem)])
      expect(warnings[0]).toContain('is not used any more')
    },
    60_000,
  )

  test.each(damages)(
    '%s: it is not exported',
    async (_name, damage) => {
      damage()
      expect(await expectRightArchive()).toEqual([expect.stringContaining('is not used any more')])
    },
    60_000,
  )

  test('a registry that ends the connection in the middle of a layer', async () => {
    const from = serve()
    const [, layer] = layersOf()
    registry.intercept = (request, response) => {
      if (request.url !== `/v2/app/blobs/${layer?.digest}`) return false
      response.writeHead(200, { 'content-length': layer?.size })
      response.write(Buffer.alloc(10))
      setTimeout(() => response.destroy(), 10)
      return true
    }
    expect((await expectRightFiles(from)).warnings).toEqual([expect.stringContaining('is not used any more')])
  }, 60_000)
})

test('a base layer that the cache brings itself does not stand in for that of the image', async () => {
  forge(({ manifest, document }) => {
    const evil = put(gzipSync(Buffer.alloc(1024)))
    manifest.layers.push({ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...evil } as never)
    const base = document.layers.find(({ blob }) => blob === undefined) as Loose
    base.blob = evil.digest
  })
  expect((await expectRightFiles()).warnings).toEqual([expect.stringContaining('unpacks to')])
}, 60_000)

test.each<[string, () => string]>([
  ['layer', () => path(layersOf()[1]?.digest as string)],
  ['config', () => configFile()],
])(
  'a damaged %s of a directory is mended when the cache is written there again',
  async (_name, file) => {
    const damaged = file()
    writeFileSync(damaged, Buffer.alloc(readFileSync(damaged).length))
    const both: Partial<BuildOptions> = { cacheTo: [{ type: 'local', dest: cache, mode: 'max' }] }
    const outputs: BuildOptions['outputs'] = [{ type: 'local', dest: join(folder, `mended-${count}`) }]
    expect((await run([{ type: 'local', src: cache }], { ...both, outputs })).warnings).toHaveLength(1)
    expect(await expectRightFiles()).toEqual({ warnings: [], notices: [] })
  },
  60_000,
)

describe('a cache that is none', () => {
  test.each<[string, () => void]>([
    ['an index that is not JSON', () => writeFileSync(join(cache, 'index.json'), '{')],
    ['an index that is a list', () => writeFileSync(join(cache, 'index.json'), '[]')],
    ['an index without manifests', () => writeFileSync(join(cache, 'index.json'), '{}')],
    ['an index of 20 MB', () => writeFileSync(join(cache, 'index.json'), Buffer.alloc(20 << 20, ' '))],
    [
      'a digest that is a path',
      () => writeFileSync(join(cache, 'index.json'), '{"manifests":[{"mediaType":"x","digest":"../../x","size":1}]}'),
    ],
    ['a foreign config', () => forge(({ manifest }) => Object.assign(manifest.config, { mediaType: 'application/vnd.example.v1+json' }))],
    [
      'a foreign layer',
      () =>
        forge(({ manifest }) =>
          Object.assign(manifest.layers[0] as Loose, { mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar' }),
        ),
    ],
    ['a config that says 2 GB', () => forge(({ manifest }) => Object.assign(manifest.config, { size: 2 ** 31 }))],
    ['a config of another digest', () => writeFileSync(configFile(), Buffer.alloc(readFileSync(configFile()).length))],
    ['a config that is truncated', () => truncateSync(configFile(), 10)],
    ['a layer id that is a path', () => forge(({ document }) => Object.assign(document.layers[0] as Loose, { diffId: '../../../etc' }))],
    [
      'a record over layers that are not there',
      () => forge(({ document }) => Object.assign(document.records[0] as Loose, { layers: [99] })),
    ],
    [
      'a key that is not that of its parts',
      () => forge(({ document }) => Object.assign(document.records[0] as Loose, { key: sha256('x') })),
    ],
    ['members that are no objects', () => forge(({ document }) => Object.assign(document, { records: [null] }))],
    ['another version', () => forge(({ document }) => Object.assign(document, { version: 7 }))],
    [
      '__proto__ as a member',
      () =>
        forge(
          ({ document }) =>
            Object.defineProperty(document, '__proto__', { value: 1, enumerable: true }) && Object.assign(document, { layers: 1 }),
        ),
    ],
  ])(
    '%s',
    async (_name, damage) => {
      damage()
      const { warnings } = await expectRightFiles()
      expect(warnings).toEqual([expect.stringMatching(/^the cache .* is not used: /)])
    },
    60_000,
  )

  test('a directory where the index should be', async () => {
    rmSync(join(cache, 'index.json'))
    mkdirSync(join(cache, 'index.json'))
    expect((await expectRightFiles()).warnings).toHaveLength(1)
  }, 60_000)

  test('indexes in indexes in indexes', async () => {
    let inner = readFileSync(join(cache, 'index.json'))
    for (let depth = 0; depth < 5; depth += 1) {
      const entry = { mediaType: 'application/vnd.oci.image.index.v1+json', ...put(inner) }
      inner = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [entry] }))
    }
    writeFileSync(join(cache, 'index.json'), inner)
    expect((await expectRightFiles()).warnings).toEqual([expect.stringContaining('nested too deep')])
  }, 60_000)

  test('a registry that does not answer, and one that denies', async () => {
    const closed = await startTestRegistry()
    await closed.close()
    const { warnings } = await expectRightFiles({ type: 'registry', ref: `${closed.host}/app:cache` })
    expect(warnings).toEqual([expect.stringContaining('is not used: ')])
    registry.intercept = (request, response) => {
      if (!request.url?.includes('/v2/app/')) return false
      response.writeHead(403)
      response.end()
      return true
    }
    expect((await expectRightFiles(serve())).warnings).toEqual([expect.stringContaining('access denied')])
  }, 60_000)
})

describe('a cache of BuildKit is named as one and ignored', () => {
  const NOTICE = expect.stringContaining('a cache of BuildKit: its keys are not ours; ignored')

  test('image manifest', async () => {
    forge(({ manifest }) => Object.assign(manifest.config, { mediaType: 'application/vnd.buildkit.cacheconfig.v0' }))
    expect(await expectRightFiles()).toEqual({ warnings: [], notices: [NOTICE] })
  }, 60_000)

  test('index', async () => {
    const entry = { mediaType: 'application/vnd.buildkit.cacheconfig.v0', ...put(Buffer.from('{}')) }
    writeFileSync(join(cache, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [...layersOf(), entry] }))
    expect(await expectRightFiles()).toEqual({ warnings: [], notices: [NOTICE] })
  }, 60_000)

  test('inline', async () => {
    forge(({ manifest, document }) => {
      const config = put(Buffer.from(JSON.stringify({ 'moby.buildkit.cache.v0': 'e30=', rootfs: { diff_ids: [] }, document })))
      Object.assign(manifest.config, { mediaType: 'application/vnd.oci.image.config.v1+json', ...config })
    })
    expect(await expectRightFiles()).toEqual({ warnings: [], notices: [NOTICE] })
  }, 60_000)
})

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { hexOf, sha256 } from '../../src/base/digest.ts'
import type { BuildEvent } from '../../src/base/events.ts'
import { build } from '../../src/build.ts'
import type { BuildOptions, CacheImportSpec } from '../../src/build-options.ts'
import type { Descriptor } from '../../src/values/oci.ts'
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
  readonly document: Loose & { layers: (Loose & { blob: string; parent?: number })[]; records: (Loose & { layers?: Loose[] })[] }
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
/** Of the layer of a COPY: the base's is larger. */
const copiedDigest = () => layersOf().find(({ size }) => size < 10_000)?.digest as string
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

const DIFF_ID = 'containerd.io/uncompressed'

/** The layer of a COPY: not the one at the bottom, which is the base's. */
function copied({ manifest, document }: Parts): {
  entry: Parts['document']['layers'][number]
  descriptor: Parts['manifest']['layers'][number]
} {
  const entry = document.layers.find(({ parent }) => parent !== -1) as Parts['document']['layers'][number]
  const descriptor = manifest.layers.find(({ digest }) => digest === entry.blob) as Parts['manifest']['layers'][number]
  return { entry, descriptor }
}

/** Other bytes for the layer of a COPY. */
function replaceBlob(parts: Parts, bytes: Buffer): void {
  const { entry, descriptor } = copied(parts)
  Object.assign(descriptor, put(bytes))
  for (const layer of parts.document.layers) if (layer.blob === entry.blob && layer !== entry) layer.blob = descriptor.digest
  entry.blob = descriptor.digest
}

const withLayers = (document: Parts['document']) =>
  document.records.find(({ layers }) => layers !== undefined) as Parts['document']['records'][number]

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
    ['truncated', () => truncateSync(path(copiedDigest()), 20), /wrong size|expected|altered|bytes/],
    ['other bytes', () => writeFileSync(path(copiedDigest()), Buffer.alloc(readFileSync(path(copiedDigest())).length)), /digest|altered/],
    ['not there', () => rmSync(path(copiedDigest())), /no blob|not found/],
    [
      'a symlink to a file of the host',
      () => {
        const file = path(copiedDigest())
        renameSync(file, join(folder, 'elsewhere'))
        symlinkSync(join(folder, 'elsewhere'), file)
      },
      /not a regular file/,
    ],
    [
      'the diffID of another layer',
      () =>
        forge((parts) => {
          const { descriptor } = copied(parts)
          const other = parts.manifest.layers.find(({ digest, size }) => digest !== descriptor.digest && size < 10_000)
          Object.assign(descriptor.annotations as Loose, { [DIFF_ID]: other?.annotations?.[DIFF_ID] })
        }),
      /unpacks to/,
    ],
    ['a blob with more in it', () => forge((parts) => replaceBlob(parts, gzipSync(Buffer.alloc(10_240)))), /unpacks to/],
    [
      'a wrong diffID',
      () => forge((parts) => Object.assign(copied(parts).descriptor.annotations as Loose, { [DIFF_ID]: sha256('something else') })),
      /unpacks to/,
    ],
    ['bytes that are no gzip', () => forge((parts) => replaceBlob(parts, Buffer.from('no gzip at all'))), /./],
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
    const layer = layersOf().find(({ digest }) => digest === copiedDigest())
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
  const evil = gzipSync(Buffer.alloc(1024))
  forge(({ manifest, document }) => {
    const base = document.layers.find(({ parent }) => parent === -1) as Parts['document']['layers'][number]
    const descriptor = manifest.layers.find(({ digest }) => digest === base.blob) as Loose
    Object.assign(descriptor, put(evil), { annotations: { [DIFF_ID]: sha256(Buffer.alloc(1024)) } })
    for (const layer of document.layers) if (layer.blob === base.blob && layer !== base) layer.blob = descriptor.digest as string
    base.blob = descriptor.digest as string
  })
  expect((await expectRightFiles()).warnings).toEqual([expect.stringContaining("are not on the step's base")])
}, 60_000)

test.each<[string, () => string]>([
  ['layer', () => path(copiedDigest())],
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
      'a layer of no known type',
      () => forge(({ manifest }) => Object.assign(manifest.layers[0] as Loose, { mediaType: 'application/vnd.example.layer.v1.tar' })),
    ],
    ['a config that says 2 GB', () => forge(({ manifest }) => Object.assign(manifest.config, { size: 2 ** 31 }))],
    ['a config of another digest', () => writeFileSync(configFile(), Buffer.alloc(readFileSync(configFile()).length))],
    ['a config that is truncated', () => truncateSync(configFile(), 10)],
    ['a blob that is a path', () => forge(({ document }) => Object.assign(document.layers[0] as Loose, { blob: '../../../etc' }))],
    ['a layer that its manifest does not have', () => forge(({ manifest }) => manifest.layers.pop())],
    ['a layer without a diffID', () => forge((parts) => Object.assign(copied(parts).descriptor, { annotations: {} }))],
    [
      'a result over layers that are not there',
      () => forge(({ document }) => Object.assign(withLayers(document), { layers: [{ layer: 99 }] })),
    ],
    [
      'layers in a circle',
      () => forge((parts) => Object.assign(copied(parts).entry, { parent: parts.document.layers.indexOf(copied(parts).entry) })),
    ],
    [
      'a record over others that are not there',
      () => forge(({ document }) => Object.assign(withLayers(document), { inputs: [[{ link: -1 }]] })),
    ],
    [
      'a record that is an input of itself',
      () =>
        forge(({ document }) => {
          const record = withLayers(document)
          Object.assign(record, { inputs: [[{ link: document.records.indexOf(record) }]] })
        }),
    ],
    [
      'records that are inputs of each other',
      () =>
        forge(({ document }) => {
          const [one, two] = document.records.filter(({ layers }) => layers !== undefined)
          const at = (record: unknown) => document.records.indexOf(record as never)
          Object.assign(one as Loose, { inputs: [[{ link: at(two) }]] })
          Object.assign(two as Loose, { inputs: [[{ link: at(one) }]] })
        }),
    ],
    ['a record without a digest', () => forge(({ document }) => Object.assign(document.records[0] as Loose, { digest: 'sha256:x' }))],
    [
      'a selector that is no digest',
      () => forge(({ document }) => Object.assign(withLayers(document), { inputs: [[{ selector: 'x', link: 0 }]] })),
    ],
    ['a time that is none', () => forge(({ document }) => Object.assign(withLayers(document).layers?.[0] as Loose, { createdAt: 'soon' }))],
    [
      'thirty thousand records',
      () => forge(({ document }) => Object.assign(document, { records: Array.from({ length: 30_000 }, () => document.records[0]) })),
    ],
    ['members that are no objects', () => forge(({ document }) => Object.assign(document, { records: [null] }))],
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

  test.each<[string, (index: string) => void]>([
    ['a directory', (index) => mkdirSync(index)],
    ['a fifo', (index) => execFileSync('mkfifo', [index])],
    ['a link to a file without end', (index) => symlinkSync('/dev/zero', index)],
  ])(
    '%s where the index should be: it is neither waited for nor followed, and nothing is written over it',
    async (_name, make) => {
      const index = join(cache, 'index.json')
      rmSync(index)
      make(index)
      expect((await expectRightFiles()).warnings).toEqual([expect.stringContaining('is not a regular file')])
      await expect(run([], { cacheTo: [{ type: 'local', dest: cache }] })).rejects.toMatchObject({ code: 'CACHE_EXPORT_REFUSED' })
      await expect(run([], { outputs: [{ type: 'oci', dest: cache, tar: false }] })).rejects.toMatchObject({
        code: 'EXPORT_LAYOUT_INVALID',
      })
    },
    60_000,
  )

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

describe('an inline cache', () => {
  const inline = (member: unknown, diffIds: unknown = undefined) =>
    forge(({ manifest }) => {
      const ids = diffIds ?? manifest.layers.map(({ annotations }) => annotations?.[DIFF_ID])
      const config = put(Buffer.from(JSON.stringify({ 'moby.buildkit.cache.v0': member, rootfs: { diff_ids: ids } })))
      Object.assign(manifest.config, { mediaType: 'application/vnd.oci.image.config.v1+json', ...config })
    })
  const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64')

  test.each<[string, () => void]>([
    ['that is no list', () => inline(base64({}))],
    ['that is no text', () => inline({})],
    ['that is no base64', () => inline('%%%%')],
    ['with more layers than the image', () => inline(base64([{ digest: sha256('x'), layers: [{ layer: 40 }] }]))],
    ['of an image whose layers its config does not have', () => inline(base64([]), [])],
  ])(
    '%s',
    async (_name, damage) => {
      damage()
      expect((await expectRightFiles()).warnings).toEqual([expect.stringMatching(/^the cache .* is not used: /)])
    },
    60_000,
  )
})

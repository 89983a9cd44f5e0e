import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { hexOf, sha256 } from '../../src/base/digest.ts'
import { exportDockerArchive } from '../../src/export/docker-archive.ts'
import { exportOciDirectory, exportOciTar } from '../../src/export/oci.ts'
import { assembleConfig, toImage } from '../../src/image/assemble.ts'
import type { Image } from '../../src/image/types.ts'
import type { BlobForm } from '../../src/layers/types.ts'
import { StoreLayers } from '../../src/layers/values.ts'
import type { LayerId, LayerInfo } from '../../src/store/types.ts'
import type { Index, Manifest } from '../../src/values/oci.ts'
import { createMemoryBlobStore } from '../support/memory-blob-store.ts'
import { validateLayout } from '../support/validate-layout.ts'
import { chunks, collect, entry, file, type Whole } from '../unit/tar/items.ts'

const LAYERS: Readonly<Record<string, readonly Whole[]>> = {
  one: [
    { entry: entry('etc', { type: 'directory', mode: 0o755 }), data: Buffer.alloc(0) },
    file('etc/motd', 'hello\n'),
    file('big', Buffer.alloc(300_000, 'abc')),
  ],
  two: [file('etc/.wh.motd', ''), file('bin', '#!/bin/sh\n', { mode: 0o755 })],
}

const present = (command: string) => execFileSync('sh', ['-c', `command -v ${command} || true`]).length > 0

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-export-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Layer values over a store of this test; `passes` counts how often a layer was read from its files. */
function layers() {
  const known = new Map<LayerId, LayerInfo>()
  const passes = new Map<string, number>()
  const blobs = createMemoryBlobStore()
  const values = new StoreLayers({
    blobs,
    snapshots: {
      info: async (id) => known.get(id),
      update: async (id, info) => void known.set(id, { ...known.get(id), ...info }),
    },
    changes: async function* (id) {
      passes.set(id, (passes.get(id) ?? 0) + 1)
      for (const { entry, data } of LAYERS[id] ?? []) yield { entry, content: chunks(data) }
    },
  })
  return { values, known, passes, blobs }
}

async function image(form?: BlobForm, architecture = 'amd64'): Promise<Image> {
  const { values } = layers()
  const opened = await Promise.all(['one', 'two'].map((id) => values.open(id as LayerId, form === undefined ? {} : { form })))
  const platform = { os: 'linux', architecture }
  const created = '2024-01-01T00:00:00Z'
  const { file } = assembleConfig({
    ...{ platform, config: { Cmd: ['/bin'], Labels: { a: '<&>' } } },
    history: [
      { created_by: 'ADD rootfs', created },
      { created_by: 'RUN x', created },
    ],
    layers: opened.map(({ diffId }) => ({ diffId, created })),
  })
  return toImage(file, platform, opened)
}

const NAMES = ['docker.io/library/app:1', 'example.com/team/app:latest']

test.each([['gzip'], ['uncompressed']] as const)('OCI tar (%s): valid, deterministic, read by skopeo and umoci', async (compression) => {
  const path = join(folder, 'image.tar')
  const form = { compression }
  const made = await exportOciTar([await image(form)], path, { names: [NAMES[0] as string], form, created: '2024-01-01T00:00:00Z' })
  const first = readFileSync(path)
  await exportOciTar([await image()], path, { names: [NAMES[0] as string], form, created: '2024-01-01T00:00:00Z' })
  expect(readFileSync(path).equals(first)).toBe(true)
  expect(readdirSync(folder)).toEqual(['image.tar'])

  const layout = join(folder, 'layout')
  mkdirSync(layout)
  execFileSync('tar', ['-xf', path, '-C', layout])
  await validateLayout(layout)
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as Index
  expect(index.manifests).toEqual([
    {
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: made.manifestDigest,
      size: made.descriptor.size,
      annotations: {
        'io.containerd.image.name': 'docker.io/library/app:1',
        'org.opencontainers.image.created': '2024-01-01T00:00:00Z',
        'org.opencontainers.image.ref.name': '1',
      },
      platform: { architecture: 'amd64', os: 'linux' },
    },
  ])
  if (present('skopeo')) {
    const inspected = JSON.parse(execFileSync('skopeo', ['inspect', `oci-archive:${path}`], { encoding: 'utf8' }))
    expect(inspected).toMatchObject({ Digest: made.manifestDigest, Labels: { a: '<&>' }, Layers: { length: 2 } })
    execFileSync('skopeo', ['copy', '-q', `oci-archive:${path}`, `dir:${join(folder, 'copy')}`])
  }
  if (present('umoci')) {
    execFileSync('umoci', ['unpack', '--rootless', '--image', `${layout}:1`, join(folder, 'bundle')], { stdio: 'pipe' })
    expect(existsSync(join(folder, 'bundle/rootfs/etc/motd'))).toBe(false)
    expect(readFileSync(join(folder, 'bundle/rootfs/bin'), 'utf8')).toBe('#!/bin/sh\n')
  }
})

test('docker archive: manifest.json, familiar names, read by skopeo', async () => {
  const path = join(folder, 'docker.tar')
  const made = await exportDockerArchive([await image()], path, { names: NAMES })
  const [manifest] = JSON.parse(execFileSync('tar', ['-xOf', path, 'manifest.json'], { encoding: 'utf8' }))
  expect(manifest.RepoTags).toEqual(['app:1', 'example.com/team/app:latest'])
  expect(manifest.Config).toBe(`blobs/sha256/${hexOf(made.configDigest)}`)
  const members = execFileSync('tar', ['-tf', path], { encoding: 'utf8' }).trimEnd().split('\n')
  for (const layer of manifest.Layers) expect(members).toContain(layer)
  expect(members).toEqual([...members].sort())
  if (present('skopeo')) {
    const config = execFileSync('skopeo', ['inspect', '--config', '--raw', `docker-archive:${path}`])
    expect(sha256(config)).toBe(made.configDigest)
  }
})

test('docker archive of several platforms is refused', async () => {
  const images = [await image(), await image({}, 'arm64')]
  await expect(exportDockerArchive(images, join(folder, 'x'))).rejects.toMatchObject({ code: 'EXPORT_MULTI_PLATFORM' })
  expect(readdirSync(folder)).toEqual([])
})

test('several platforms: index.json points to an image index', async () => {
  const directory = join(folder, 'multi')
  const made = await exportOciDirectory([await image(), await image({}, 'arm64')], directory)
  await validateLayout(directory)
  const index = JSON.parse(readFileSync(join(directory, 'blobs/sha256', hexOf(made.manifestDigest)), 'utf8')) as Index
  expect(index.manifests.map((manifest) => manifest.platform)).toEqual([
    { architecture: 'amd64', os: 'linux' },
    { architecture: 'arm64', os: 'linux' },
  ])
})

test('OCI directory: what is there stays, a name moves, blobs are whole', async () => {
  const directory = join(folder, 'layout')
  await exportOciDirectory([await image()], directory, { names: ['docker.io/library/a:1'] })
  await exportOciDirectory([await image({}, 'arm64')], directory, { names: ['docker.io/library/b:1'] })
  const last = await exportOciDirectory([await image({}, 'arm')], directory, { names: ['docker.io/library/a:1'] })
  const { manifests } = JSON.parse(readFileSync(join(directory, 'index.json'), 'utf8')) as Index
  expect(manifests.map(({ annotations, digest }) => [annotations?.['io.containerd.image.name'], digest === last.manifestDigest])).toEqual([
    ['docker.io/library/b:1', false],
    ['docker.io/library/a:1', true],
  ])
  await validateLayout(directory)
})

test('ggcr 7f937fe5: a blob that is a symlink in the target directory is replaced, its target untouched', async () => {
  const directory = join(folder, 'layout')
  const made = await exportOciDirectory([await image()], directory)
  const victim = join(folder, 'victim')
  writeFileSync(victim, 'untouched')
  const blob = join(directory, 'blobs/sha256', hexOf(made.configDigest))
  rmSync(blob)
  symlinkSync(victim, blob)
  await exportOciDirectory([await image()], directory)
  expect(readFileSync(victim, 'utf8')).toBe('untouched')
  await validateLayout(directory)
})

test('the sink `-` receives the same bytes as a file', async () => {
  const path = join(folder, 'a.tar')
  await exportOciTar([await image()], path)
  const parts: Uint8Array[] = []
  await exportOciTar([await image()], async (data) => void parts.push(Buffer.from(data)))
  expect(Buffer.concat(parts).equals(readFileSync(path))).toBe(true)
})

test('a failing layer leaves the file that was there, and no temporary', async () => {
  const path = join(folder, 'a.tar')
  writeFileSync(path, 'old')
  const good = await image()
  const broken = {
    ...good,
    layers: good.layers.map((layer) => ({ ...layer, blob: async () => ({ ...(await layer.blob()), open: () => failing() }) })),
  }
  await expect(exportOciTar([broken], path)).rejects.toMatchObject({ code: 'EIO' })
  expect(readdirSync(folder)).toEqual(['a.tar'])
  expect(readFileSync(path, 'utf8')).toBe('old')
  await expect(exportOciTar([good], join(folder, 'missing/a.tar'))).rejects.toMatchObject({ code: 'EXPORT_DEST_MISSING' })
})

async function* failing(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('x')
  throw Object.assign(new Error('read error'), { code: 'EIO' })
}

describe('layers of the store', () => {
  test('diffID and blob are made in one pass, once, shared by callers at the same time', async () => {
    const { values, known, passes } = layers()
    const form = { compression: 'gzip' } as const
    const [a, b] = await Promise.all([values.open('one' as LayerId, { form }), values.open('one' as LayerId, { form })])
    const [x, y] = await Promise.all([a.blob(), b.blob()])
    expect(passes.get('one')).toBe(1)
    expect(x.descriptor).toEqual(y.descriptor)
    const packed = await collect(x.open())
    expect(sha256(packed)).toBe(x.descriptor.digest)
    expect(sha256(gunzipSync(packed))).toBe(a.diffId)
    expect(known.get('one' as LayerId)).toMatchObject({ diffId: a.diffId, tarSize: gunzipSync(packed).length })
    expect(sha256(await collect(a.tar()))).toBe(a.diffId)
  })

  test('the original blob of a base layer is kept, and fetched when it is not there', async () => {
    const source = layers()
    const { descriptor, open } = await (await source.values.open('one' as LayerId)).blob()
    const bytes = await collect(open())
    const diffId = (await source.values.open('one' as LayerId)).diffId
    const blobs = createMemoryBlobStore()
    let fetched = 0
    const original = { ...descriptor, mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip' }
    const values = new StoreLayers({
      blobs,
      snapshots: { info: async () => ({ diffId, blobs: [original] }), update: async () => {} },
      // biome-ignore lint/correctness/useYield: nothing may read the files of a base layer
      changes: async function* () {
        throw new Error('not from the files')
      },
      fetch: async () => {
        fetched += 1
        await blobs.put(bytes)
        return true
      },
    })
    const layer = await values.open('base' as LayerId)
    const blob = await layer.blob({ compression: 'uncompressed' })
    expect(blob.descriptor).toEqual(original)
    expect(sha256(await collect(layer.tar()))).toBe(diffId)
    expect(fetched).toBe(1)
  })

  test('files that changed in the store are noticed before they leave', async () => {
    const { values, known } = layers()
    const layer = await values.open('one' as LayerId)
    known.set('one' as LayerId, { ...known.get('one' as LayerId), diffId: sha256('other') })
    const again = await new StoreLayers({
      blobs: createMemoryBlobStore(),
      snapshots: { info: async (id) => known.get(id), update: async () => {} },
      changes: async function* () {
        yield { entry: entry('changed'), content: chunks(Buffer.alloc(0)) }
      },
    }).open('one' as LayerId)
    expect(again.diffId).not.toBe(layer.diffId)
    await expect(again.blob()).rejects.toMatchObject({ code: 'LAYER_CHANGED' })
    await expect(collect(again.tar())).rejects.toMatchObject({ code: 'LAYER_CHANGED' })
  })
})

test('the oracle notices what is wrong', async () => {
  const directory = join(folder, 'layout')
  const made = await exportOciDirectory([await image()], directory)
  const manifest = JSON.parse(readFileSync(join(directory, 'blobs/sha256', hexOf(made.manifestDigest)), 'utf8')) as Manifest
  const blob = join(directory, 'blobs/sha256', hexOf((manifest.layers[0] as { digest: typeof made.manifestDigest }).digest))
  const bytes = readFileSync(blob)
  bytes[100] = (bytes[100] as number) ^ 1
  writeFileSync(blob, bytes)
  await expect(validateLayout(directory)).rejects.toMatchObject({ code: 'IMAGE_INVALID' })
})

import { execFileSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hexOf, sha256 } from '../../src/base/digest.ts'
import { filled } from '../../src/caller/sinks.ts'
import { collectContent, type ExportOptions } from '../../src/export/content.ts'
import { exportDockerArchive } from '../../src/export/docker-archive.ts'
import { exportOciDirectory, exportOciTar } from '../../src/export/oci.ts'
import { assembleConfig, toImage } from '../../src/image/assemble.ts'
import type { Image } from '../../src/image/types.ts'
import type { BlobForm, Layer, LayerBlob } from '../../src/layers/types.ts'
import { fileSink } from '../../src/store/file-sink.ts'
import type { LayerId, TakeFile } from '../../src/store/types.ts'
import type { Index, Manifest } from '../../src/values/oci.ts'
import { type CountedCatalog, committed, countedCatalog } from '../support/catalog.ts'
import { validateLayout } from '../support/validate-layout.ts'
import { entry, file, type Whole } from '../unit/tar/items.ts'

const LAYERS: Readonly<Record<string, readonly Whole[]>> = {
  one: [
    { entry: entry('etc', { type: 'directory', mode: 0o755 }), data: Buffer.alloc(0) },
    file('etc/motd', 'hello\n'),
    file('big', Buffer.alloc(300_000, 'abc')),
  ],
  two: [
    { entry: entry('etc', { type: 'directory', mode: 0o755 }), data: Buffer.alloc(0) },
    file('etc/.wh.motd', ''),
    file('bin', '#!/bin/sh\n', { mode: 0o755 }),
  ],
}

const present = (command: string) => execFileSync('sh', ['-c', `command -v ${command} || true`]).length > 0

let folder = ''
let layers: CountedCatalog
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-export-'))
  layers = await countedCatalog()
})
afterEach(async () => {
  rmSync(folder, { recursive: true, force: true })
  await layers.dispose()
})

const tarTo = (path: string, images: readonly Image[], options: ExportOptions = {}) =>
  filled(fileSink(path), async (sink) => exportOciTar(await collectContent(images, options), sink))

async function image(form?: BlobForm, architecture = 'amd64'): Promise<Image> {
  const ids: LayerId[] = []
  for (const items of Object.values(LAYERS)) ids.push(await committed(layers.snapshots, items, [...ids]))
  const opened = await layers.catalog.open(ids, form)
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
  const made = await tarTo(path, [await image(form)], { names: [NAMES[0] as string], form, created: '2024-01-01T00:00:00Z' })
  const first = readFileSync(path)
  await tarTo(path, [await image()], { names: [NAMES[0] as string], form, created: '2024-01-01T00:00:00Z' })
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
  const made = await filled(fileSink(path), async (sink) =>
    exportDockerArchive(await collectContent([await image()], { names: NAMES }), sink, NAMES),
  )
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
  const written = filled(fileSink(join(folder, 'x')), async (sink) => exportDockerArchive(await collectContent(images, {}), sink))
  await expect(written).rejects.toMatchObject({
    code: 'EXPORT_MULTI_PLATFORM',
  })
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
  await tarTo(path, [await image()])
  const parts: Uint8Array[] = []
  await exportOciTar(await collectContent([await image()], {}), { write: async (data) => void parts.push(Buffer.from(data)) })
  expect(Buffer.concat(parts).equals(readFileSync(path))).toBe(true)
})

test.each<[string, Partial<LayerBlob>]>([
  ['read', { open: () => failing() }],
  ['copied', { lend: () => Promise.reject(Object.assign(new Error('disk error'), { code: 'EIO' })) }],
  ['copied and are others than they were', { lend: (take) => lendFile(Buffer.from('shorter'), take) }],
])('a layer whose bytes fail while they are %s leaves the file that was there, and no temporary', async (_how, failure) => {
  const path = join(folder, 'a.tar')
  writeFileSync(path, 'old')
  const good = await image()
  const blobOf = async (layer: Layer) => {
    const { lend: _, ...blob } = await layer.blob()
    return { ...blob, ...failure }
  }
  const broken = { ...good, layers: good.layers.map((layer) => ({ ...layer, blob: () => blobOf(layer) })) }
  await expect(tarTo(path, [broken])).rejects.toMatchObject({ code: expect.stringMatching(/^(?:EIO|TAR_SIZE_MISMATCH)$/) })
  expect(readdirSync(folder).filter((name) => name !== 'lent')).toEqual(['a.tar'])
  expect(readFileSync(path, 'utf8')).toBe('old')
  await expect(tarTo(join(folder, 'missing/a.tar'), [good])).rejects.toMatchObject({ code: 'EXPORT_DEST_MISSING' })
})

async function lendFile(content: Buffer, take: TakeFile): Promise<void> {
  writeFileSync(join(folder, 'lent'), content)
  const fd = openSync(join(folder, 'lent'), 'r')
  await take(fd, content.length).finally(() => closeSync(fd))
}

test('what is copied by the kernel, and what had to be streamed, are the same archive, and no layer is read for it', async () => {
  const streamed: Uint8Array[] = []
  await exportOciTar(await collectContent([await image()], {}), { write: async (data) => void streamed.push(Buffer.from(data)) })
  const path = join(folder, 'a.tar')
  const made = await image()
  const unread = (layer: Layer) => ({ ...layer, blob: async () => ({ ...(await layer.blob()), open: () => failing() }) })
  await tarTo(path, [{ ...made, layers: made.layers.map(unread) }])
  expect(readFileSync(path).equals(Buffer.concat(streamed))).toBe(true)
})

test('an archive that is given up while a layer is copied copies no more of it', async () => {
  const large = join(folder, 'large')
  writeFileSync(large, Buffer.alloc(64 * 1024 * 1024))
  const fd = openSync(large, 'r')
  const sink = await fileSink(join(folder, 'a.tar'))
  const stopped = expect(sink.writeFile?.(fd, 64 * 1024 * 1024)).rejects.toThrow('given up')
  await sink.abort(new Error('given up'))
  await stopped
  expect(readdirSync(folder)).toEqual(['large'])
  closeSync(fd)
})

async function* failing(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('x')
  throw Object.assign(new Error('read error'), { code: 'EIO' })
}

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

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { hexOf, sha256 } from '../../src/base/digest.ts'
import type { ImageSource } from '../../src/sources/image/types.ts'
import { ociLayoutSource } from '../../src/sources/layout/oci-layout.ts'
import { storeSource } from '../../src/sources/layout/store-source.ts'
import { RegistryClient } from '../../src/sources/registry/client.ts'
import { registrySource } from '../../src/sources/registry/pull.ts'
import type { ImageIndex, ImageRecord, LayerId } from '../../src/store/types.ts'
import { ThisMachine } from '../../src/this-machine/this-machine.ts'
import { parsePlatform } from '../../src/values/platform.ts'
import { createMemoryBlobStore } from '../support/memory-blob-store.ts'
import { blobsOf, json, makeImage, makeIndex } from '../support/oci-image.ts'
import { startTestRegistry } from '../support/registry-server.ts'

/** The contract of ImageSource, run on every implementation: what a source holds is given to `open`, which answers with names for it. */
interface Subject {
  readonly source: ImageSource
  /** Of `image`, of an index with `image` and `other`, and of nothing. */
  readonly names: { readonly image: string; readonly index?: string; readonly missing: string }
  close(): Promise<void>
}

const image = makeImage({ layers: ['bottom', 'top'] })
const other = makeImage({ platform: { os: 'linux', architecture: 'arm', variant: 'v6' }, layers: ['arm'], docker: true })
const index = makeIndex([image, other])

async function registrySubject(): Promise<Subject> {
  const registry = await startTestRegistry()
  registry.addImage('team/app', image, 'one')
  registry.addImage('team/app', other)
  registry.addDocument('team/app', index, 'many')
  const client = new RegistryClient({ caller: new ThisMachine({ environment: {} }), registries: [] })
  return {
    source: registrySource({ blobs: createMemoryBlobStore(), client }),
    names: { image: `${registry.host}/team/app:one`, index: `${registry.host}/team/app:many`, missing: `${registry.host}/team/app:none` },
    close: async () => {
      await client.close()
      await registry.close()
    },
  }
}

async function layoutSubject(): Promise<Subject> {
  const directory = await mkdtemp(join(tmpdir(), 'tbuild-layout-'))
  await mkdir(join(directory, 'blobs/sha256'), { recursive: true })
  const documents = [image.manifest.bytes, other.manifest.bytes, index.bytes]
  for (const blob of [...documents, ...blobsOf(image), ...blobsOf(other)])
    await writeFile(join(directory, 'blobs/sha256', hexOf(sha256(blob))), blob)
  const entry = (document: { mediaType: string; digest: string; bytes: Buffer }, name: string) => ({
    mediaType: document.mediaType,
    digest: document.digest,
    size: document.bytes.length,
    annotations: { 'org.opencontainers.image.ref.name': name },
  })
  await writeFile(join(directory, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }))
  await writeFile(
    join(directory, 'index.json'),
    json({ schemaVersion: 2, manifests: [entry(image.manifest, 'one'), entry(index, 'many')] }),
  )
  return {
    source: ociLayoutSource((name) => new ThisMachine({}).directory(name)),
    names: { image: `oci-layout://${directory}:one`, index: `oci-layout://${directory}:many`, missing: `oci-layout://${directory}:none` },
    close: () => rm(directory, { recursive: true }),
  }
}

/** Of the store's images nothing is fetched: their layers are there under their ids. */
async function storeSubject(): Promise<Subject> {
  const blobs = createMemoryBlobStore()
  await blobs.put(image.config)
  const tars = image.layers.map((layer) => gunzipSync(layer))
  const name = 'docker.io/team/app:one'
  const layers = tars.map((tar, position) => ({ id: `layer${position}` as LayerId, diffId: sha256(tar) }))
  const record: ImageRecord = { name, config: sha256(image.config), layers, platform: image.platform, created: '', size: 0 }
  const images: ImageIndex = {
    get: async (asked) => (asked === name ? record : undefined),
    set: async () => {},
    list: async () => [record],
    delete: async () => {},
  }
  return { source: storeSource(images, blobs), names: { image: 'team/app:one', missing: 'team/app:none' }, close: async () => {} }
}

async function contentOf(source: ImageSource, name: string, platform = 'linux/amd64'): Promise<string[]> {
  const resolved = await source.resolve(name, parsePlatform(platform))
  const contents: string[] = []
  for (const layer of resolved.layers) {
    const chunks: Uint8Array[] = []
    for await (const chunk of await resolved.fetch(layer)) chunks.push(chunk)
    const data = Buffer.concat(chunks)
    expect(sha256(data)).toBe(layer.digest)
    contents.push((data[0] === 0x1f ? gunzipSync(data) : data).toString())
  }
  return contents
}

describe.each([
  ['registry', registrySubject],
  ['oci-layout', layoutSubject],
  ['store', storeSubject],
])('image source: %s', (_name, open) => {
  let subject: Subject
  beforeAll(async () => {
    subject = await open()
  })
  afterAll(() => subject.close())

  test('config, platform and layers of an image, bottom first', async () => {
    const resolved = await subject.source.resolve(subject.names.image, parsePlatform('linux/amd64'))
    expect(resolved.config).toEqual(image.config)
    expect(resolved.configFile.config?.Env).toEqual(['PATH=/bin'])
    expect(resolved.platform).toEqual({ os: 'linux', architecture: 'amd64' })
    expect(resolved.layers.length).toBe(resolved.configFile.rootfs.diff_ids.length)
    if (resolved.layerIds !== undefined) expect(resolved.layerIds).toEqual(['layer0', 'layer1'])
    else expect(await contentOf(subject.source, subject.names.image)).toEqual(['bottom', 'top'])
  })

  test('K15 the same image has the same manifest digest each time', async () => {
    const platform = parsePlatform('linux/amd64')
    const [first, second] = await Promise.all([1, 2].map(() => subject.source.resolve(subject.names.image, platform)))
    expect(first?.manifestDigest).toBe(second?.manifestDigest)
  })

  test('a layer that is not of the image is refused', async () => {
    const resolved = await subject.source.resolve(subject.names.image, parsePlatform('linux/amd64'))
    const digest = sha256('another')
    await expect(resolved.fetch({ mediaType: '', digest, size: 1 })).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
  })

  test('a missing image is IMAGE_NOT_FOUND with a hint', async () => {
    const error = subject.source.resolve(subject.names.missing, parsePlatform('linux/amd64'))
    await expect(error).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND', hint: expect.stringMatching(/./) })
  })

  test('an index gives the image of the platform, falling back from arm/v7 to arm/v6', async () => {
    const { index: name } = subject.names
    if (name === undefined) return
    const resolved = await subject.source.resolve(name, parsePlatform('linux/arm/v7'))
    expect(resolved.manifestDigest).toBe(other.manifest.digest)
    expect(resolved.resolvedDigest).toBe(index.digest)
    expect(await contentOf(subject.source, name, 'linux/arm/v7')).toEqual(['arm'])
  })

  test('PLATFORM_NOT_FOUND lists what is there', async () => {
    const { index: name } = subject.names
    if (name === undefined) return
    const error = subject.source.resolve(name, parsePlatform('linux/s390x'))
    await expect(error).rejects.toMatchObject({ code: 'PLATFORM_NOT_FOUND', message: expect.stringContaining('linux/amd64, linux/arm/v6') })
  })
})

test('a single manifest is taken whatever its platform, as BuildKit takes it', async () => {
  const subject = await registrySubject()
  const resolved = await subject.source.resolve(subject.names.image, parsePlatform('linux/s390x'))
  expect(resolved.platform.architecture).toBe('amd64')
  await subject.close()
})

import { linkSync, mkdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../src/base/digest.ts'
import { sys } from '../../src/base/sys.ts'
import { AT_FDCWD } from '../../src/base/sys-constants.ts'
import { exportCacheMounts, importCacheMounts } from '../../src/export/cache-mounts.ts'
import { pullCacheMounts, pushCacheMounts } from '../../src/export/cache-mounts-registry.ts'
import { ThisMachine } from '../../src/this-machine/this-machine.ts'
import { startTestRegistry, type TestRegistry } from '../support/registry-server.ts'
import { temporaryStore } from './temporary-store.ts'

/** A store with one cache mount, `npm`, exported to `folder`; and an empty store. */
let folder = ''
let from: Awaited<ReturnType<typeof temporaryStore>>
let to: typeof from

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'tbuild-cache-mounts-')), 'export')
  from = await temporaryStore()
  to = await temporaryStore()
  const { directory, release } = await from.store.cacheMounts.acquire({ id: 'npm', sharing: 'shared', mode: 0o750 })
  mkdirSync(join(directory, 'a'))
  writeFileSync(join(directory, 'a/file'), 'content', { mode: 0o640 })
  linkSync(join(directory, 'a/file'), join(directory, 'again'))
  symlinkSync('/etc/passwd', join(directory, 'link'))
  sys().utimesat(AT_FDCWD, join(directory, 'a/file'), 1_700_000_000, 123_456_789)
  release()
  await exportCacheMounts(from.store.cacheMounts, from.store.cacheMounts.list(), folder)
})
afterEach(async () => {
  await from.dispose()
  await to.dispose()
  await rm(join(folder, '..'), { recursive: true, force: true })
})

test('content, modes, links and times to the nanosecond arrive in another store', async () => {
  expect(await importCacheMounts(to.store.cacheMounts, folder, [])).toEqual(['npm'])
  const { directory, release } = await to.store.cacheMounts.acquire({ id: 'npm', sharing: 'shared', mode: 0o750 })
  const file = statSync(join(directory, 'a/file'), { bigint: true })
  expect(readFileSync(join(directory, 'a/file'), 'utf8')).toBe('content')
  expect([file.mode & 0o7777n, file.nlink, file.mtimeNs]).toEqual([0o640n, 2n, 1_700_000_000_123_456_789n])
  expect(statSync(directory).mode & 0o7777).toBe(0o750)
  release()
})

test('an id that the export does not have', async () => {
  await expect(importCacheMounts(to.store.cacheMounts, folder, ['pip'])).rejects.toMatchObject({ code: 'CACHE_MOUNT_MISSING' })
})

describe('through a registry', () => {
  let registry: TestRegistry
  let count = 0
  beforeEach(async () => {
    registry = await startTestRegistry()
  })
  afterEach(() => registry.close())
  const place = () => ({
    ref: `${registry.host}/app:mounts`,
    caller: new ThisMachine({ environment: {} }),
    folder: join(folder, '..', `on-the-way-${++count}`),
  })
  const push = () => pushCacheMounts(from.store.cacheMounts, from.store.cacheMounts.list(), place())

  test('the same arrives', async () => {
    expect((await push()).map(({ id }) => id)).toEqual(['npm'])
    expect(await pullCacheMounts(to.store.cacheMounts, [], place())).toEqual(['npm'])
    const { directory, release } = await to.store.cacheMounts.acquire({ id: 'npm', sharing: 'shared', mode: 0o750 })
    expect(readFileSync(join(directory, 'a/file'), 'utf8')).toBe('content')
    release()
  })

  test('only what is wanted is fetched', async () => {
    const pip = await from.store.cacheMounts.acquire({ id: 'pip', sharing: 'shared' })
    writeFileSync(join(pip.directory, 'wheel'), 'wheel')
    pip.release()
    await push()
    registry.requests.length = 0
    expect(await pullCacheMounts(to.store.cacheMounts, ['pip'], place())).toEqual(['pip'])
    expect(registry.requests.filter(({ path }) => path.includes('/blobs/'))).toHaveLength(1)
    await expect(pullCacheMounts(to.store.cacheMounts, ['cargo'], place())).rejects.toMatchObject({ code: 'CACHE_MOUNT_MISSING' })
  })

  test('an altered layer, and another artefact', async () => {
    await push()
    const [layer] = JSON.parse(registry.documents.get('app:mounts')?.bytes.toString() ?? '').layers
    registry.blobs.set(layer.digest, Buffer.alloc(layer.size))
    await expect(pullCacheMounts(to.store.cacheMounts, [], place())).rejects.toMatchObject({
      code: expect.stringMatching(/MISMATCH|CORRUPT/),
    })
    const bytes = Buffer.from('{"schemaVersion":2,"layers":[]}')
    registry.addDocument('app', { mediaType: 'application/vnd.oci.image.manifest.v1+json', bytes, digest: sha256(bytes) }, 'mounts')
    await expect(pullCacheMounts(to.store.cacheMounts, [], place())).rejects.toMatchObject({ code: 'CACHE_EXPORT_INVALID' })
    expect(to.store.cacheMounts.list()).toEqual([])
  })

  test.each<[string, (layer: object) => object[], string]>([
    ['a layer that is larger than any may unpack to', (layer) => [{ ...layer, size: 2 ** 50 }], 'TAR_LIMIT'],
    ['more layers than anybody has mounts', (layer) => Array.from({ length: 5000 }, () => layer), 'CACHE_EXPORT_INVALID'],
  ])('%s is refused before anything is fetched', async (_name, change, code) => {
    await push()
    const manifest = JSON.parse(registry.documents.get('app:mounts')?.bytes.toString() ?? '')
    const bytes = Buffer.from(JSON.stringify({ ...manifest, layers: change(manifest.layers[0]) }))
    registry.addDocument('app', { mediaType: manifest.mediaType, bytes, digest: sha256(bytes) }, 'mounts')
    registry.requests.length = 0
    await expect(pullCacheMounts(to.store.cacheMounts, [], place())).rejects.toMatchObject({ code })
    expect(registry.requests.filter(({ path }) => path.includes('/blobs/'))).toEqual([])
  })
})

describe('an export that is none', () => {
  test('with more layers than anybody has mounts', async () => {
    const path = join(folder, 'index.json')
    const index = JSON.parse(readFileSync(path, 'utf8'))
    const blob = (digest: string) => join(folder, 'blobs/sha256', digest.slice(7))
    const manifest = JSON.parse(readFileSync(blob(index.manifests[0].digest), 'utf8'))
    const bytes = Buffer.from(JSON.stringify({ ...manifest, layers: Array.from({ length: 5000 }, () => manifest.layers[0]) }))
    writeFileSync(blob(sha256(bytes)), bytes)
    writeFileSync(path, JSON.stringify({ ...index, manifests: [{ ...index.manifests[0], digest: sha256(bytes), size: bytes.length }] }))
    await refused()
  })

  const refused = () => expect(importCacheMounts(to.store.cacheMounts, folder, [])).rejects.toMatchObject({ code: 'CACHE_EXPORT_INVALID' })

  test('without its index', async () => {
    await rm(join(folder, 'index.json'))
    await refused()
  })

  test('whose index is a link, or longer than any', async () => {
    await rm(join(folder, 'index.json'))
    symlinkSync('/dev/zero', join(folder, 'index.json'))
    await refused()
    await rm(join(folder, 'index.json'))
    writeFileSync(join(folder, 'index.json'), '')
    truncateSync(join(folder, 'index.json'), 64 * 1024 * 1024)
    await refused()
  })

  test.each(['null', '[]', '7', '{"manifests":[null]}', '{"manifests":7}', '{"manifests":[{"digest":"sha256:../x"}]}', '{"manifests":'])(
    'whose index is %s',
    async (text) => {
      writeFileSync(join(folder, 'index.json'), text)
      await refused()
    },
  )
})

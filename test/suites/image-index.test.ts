import { readdirSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import type { Digest } from '../../src/base/digest.ts'
import { createSnapshotter } from '../../src/snapshot/snapshotter.ts'
import { imageFileName } from '../../src/store/image-index.ts'
import type { Store } from '../../src/store/store.ts'
import type { ImageRecord, LayerId } from '../../src/store/types.ts'
import { temporaryStore } from './temporary-store.ts'

describe('an image index', () => {
  let store: Store
  let dispose: () => Promise<void>
  let config: Digest
  let layer: LayerId
  beforeEach(async () => {
    ;({ store, dispose } = await temporaryStore())
    const snapshots = createSnapshotter(store)
    layer = await snapshots.commit(await snapshots.prepare([]))
    config = (await store.blobs.put(Buffer.from('{}'))).digest
  })
  afterEach(() => dispose())

  const image = (name: string, more: Partial<ImageRecord> = {}): ImageRecord => ({
    name,
    config,
    layers: [{ id: layer, diffId: config }],
    platform: { os: 'linux', architecture: 'amd64' },
    created: '2026-01-01T00:00:00Z',
    size: 1,
    ...more,
  })

  test('a name is set, replaced, listed and deleted', async () => {
    await store.images.set(image('docker.io/library/b:1'))
    await store.images.set(image('docker.io/library/a:1'))
    await store.images.set(image('docker.io/library/a:1', { size: 2 }))
    expect(await store.images.get('docker.io/library/a:1')).toEqual(image('docker.io/library/a:1', { size: 2 }))
    expect((await store.images.list()).map(({ name }) => name)).toEqual(['docker.io/library/a:1', 'docker.io/library/b:1'])
    await store.images.delete('docker.io/library/a:1')
    await store.images.delete('docker.io/library/a:1')
    expect(await store.images.get('docker.io/library/a:1')).toBeUndefined()
  })

  test('the same record again writes nothing', async () => {
    await store.images.set(image('a'))
    const file = join(store.layout.images, imageFileName('a'))
    const before = statSync(file).ino
    await store.images.set(image('a'))
    expect(statSync(file).ino).toBe(before)
  })

  test('any name is kept apart from any other and stays within the folder', async () => {
    const before = readdirSync(store.layout.v1).sort()
    const name = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 600 }),
      fc.constantFrom('../x', '..', '/', 'A:b', 'a:b', 'a%3Ab', 'a/b', 'a_b'),
    )
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(name, { minLength: 2, maxLength: 4 }), async (names) => {
        for (const [index, each] of names.entries()) await store.images.set(image(each, { size: index }))
        for (const [index, each] of names.entries()) expect(await store.images.get(each)).toEqual(image(each, { size: index }))
        for (const each of names) await store.images.delete(each)
        expect(await store.images.list()).toEqual([])
      }),
      { numRuns: 25 },
    )
    expect(readdirSync(store.layout.v1).sort()).toEqual(before)
  })

  test('an image without its config or a layer is none, and a torn record neither', async () => {
    await store.images.set(image('a'))
    await store.images.set(image('no-layer', { layers: [{ id: 'b'.repeat(32) as LayerId, diffId: config }] }))
    await store.images.set(image('no-config', { config: `sha256:${'0'.repeat(64)}` as Digest }))
    await store.images.set(image('torn'))
    truncateSync(join(store.layout.images, imageFileName('torn')), 100)
    expect((await store.images.list()).map(({ name }) => name)).toEqual(['a'])
    for (const name of ['no-layer', 'no-config', 'torn']) expect(await store.images.get(name)).toBeUndefined()
  })
})

import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hexOf, sha256 } from '../../../src/base/digest.ts'
import { createSnapshotter } from '../../../src/snapshot/snapshotter.ts'
import { imageFileName } from '../../../src/store/image-index.ts'
import type { Store } from '../../../src/store/store.ts'
import type { LayerId } from '../../../src/store/types.ts'
import { type StoreDamage, type VerifyOptions, verifyStore } from '../../../src/store/verify.ts'
import { temporaryStore } from '../../suites/temporary-store.ts'

describe('verifying a store', () => {
  let store: Store
  let dispose: () => Promise<void>
  let layer: LayerId
  beforeEach(async () => {
    ;({ store, dispose } = await temporaryStore())
    const snapshots = createSnapshotter(store)
    layer = await snapshots.commit(await snapshots.prepare([]))
    const config = (await store.blobs.put(Buffer.from('{}'))).digest
    const now = new Date().toISOString()
    const platform = { os: 'linux', architecture: 'amd64' }
    await store.cache.save({ version: 1, key: sha256('r'), parts: [], step: 's', layers: [layer], created: now, lastUsed: now })
    await store.images.set({ name: 'i', config, layers: [{ id: layer, diffId: config }], platform, created: now, size: 0 })
    await store.layers.update(layer, { size: 1 })
  })
  afterEach(() => dispose())

  async function findings(options: VerifyOptions = {}): Promise<readonly StoreDamage[]> {
    return (await verifyStore(store, options)).findings
  }

  test('finds nothing in a good one', async () => {
    expect(await findings({ repair: true })).toEqual([])
  })

  const damages: [string, string, () => Promise<void> | void][] = [
    ['an altered blob', 'blob', () => writeFileSync(store.blobs.path(sha256('{}')), '{x')],
    ['a symlink in place of a blob', 'blob', () => symlinkSync('/etc/passwd', store.blobs.path(sha256('other')))],
    ['a lost config', 'image', () => store.blobs.delete(sha256('{}'))],
    ['a layer of a lost boot', 'layer', () => writeFileSync(join(store.layers.directory(layer), 'boot'), 'x')],
    ['a torn info', 'layer', () => truncateSync(`${store.layers.directory(layer)}.json`, 20)],
    ['a torn record', 'record', () => truncateSync(join(store.layout.records, `${hexOf(sha256('r'))}.json`), 50)],
    ['a directory in place of a record', 'record', () => void mkdirSync(join(store.layout.records, 'x/y'), { recursive: true })],
    [
      'a torn listing',
      'listing',
      () => {
        store.listings.save(sha256('a file'), () => 'a file')
        truncateSync(join(store.layout.listings, hexOf(sha256('a file'))), 5)
      },
    ],
    ['a torn stat cache', 'stat', () => writeFileSync(join(store.layout.stat, 'a'.repeat(64)), 'tbuild-stat 1 torn')],
    [
      'a torn cache mount',
      'mount',
      async () => {
        const use = await store.cacheMounts.acquire({ id: 'm', sharing: 'shared' })
        use.release()
        truncateSync(join(use.directory, '../info.json'), 20)
      },
    ],
    ['something foreign among the blobs', 'foreign', () => writeFileSync(join(store.layout.blobs, 'notes'), '')],
    ['a torn image', 'image', () => truncateSync(join(store.layout.images, imageFileName('i')), 50)],
  ]
  test.each(damages)('%s is found and forgotten, and then all is well', async (_name, type, damage) => {
    await damage()
    const found = await findings()
    expect(found.map((finding) => finding.type)).toContain(type)
    expect(found.every(({ forgotten }) => !forgotten)).toBe(true)
    // A missing layer takes its record with it, so repairing may forget more than was seen at first.
    const repaired = await findings({ repair: true })
    expect(repaired.length).toBeGreaterThanOrEqual(found.length)
    expect(repaired.every(({ forgotten }) => forgotten)).toBe(true)
    expect(await findings()).toEqual([])
  })

  test('a layer that a power cut left as its blob is in order, and so is the image that has it', async () => {
    const blob = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...(await store.blobs.put(Buffer.from('blob'))) }
    await store.layers.update(layer, { diffId: sha256('tar'), blobs: [blob], parent: [] })
    writeFileSync(join(store.layers.directory(layer), 'boot'), 'a boot before')
    expect(await findings({ repair: true })).toEqual([])
    expect(store.layers.state(layer)).toBe('blob')
    writeFileSync(store.blobs.path(blob.digest), 'bl0b')
    expect((await findings({ repair: true })).map(({ type }) => type)).toEqual(['blob', 'layer', 'record', 'image'])
  })

  test('a layer whose content another room finds wrong is forgotten with what needs it', async () => {
    const checkLayer: VerifyOptions['checkLayer'] = async (id) =>
      id === layer ? { state: 'changed', problem: 'altered' } : { state: 'same' }
    expect((await findings({ repair: true, checkLayer })).map(({ type, problem }) => [type, problem.includes('altered')])).toEqual([
      ['layer', true],
      ['record', false],
      ['image', false],
    ])
  })
})

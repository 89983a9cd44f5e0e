import { readdirSync, readFileSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { canonicalJson } from '../../src/base/canonical-json.ts'
import { type Digest, hexOf, sha256 } from '../../src/base/digest.ts'
import { createSnapshotter } from '../../src/snapshot/snapshotter.ts'
import type { Store } from '../../src/store/store.ts'
import type { CacheRecord, KeyPart, LayerId } from '../../src/store/types.ts'
import { collected, temporaryStore } from './temporary-store.ts'

const HOUR = 3600_000

function recordOf(parts: readonly KeyPart[], more: Partial<CacheRecord> = {}): CacheRecord {
  const now = new Date().toISOString()
  return {
    version: 1,
    key: sha256(canonicalJson(parts as never)),
    parts,
    step: 'Dockerfile:1',
    layers: [],
    created: now,
    lastUsed: now,
    ...more,
  }
}

describe('a cache index', () => {
  let store: Store
  let dispose: () => Promise<void>
  let layer: LayerId
  beforeEach(async () => {
    ;({ store, dispose } = await temporaryStore())
    const snapshots = createSnapshotter(store)
    layer = await snapshots.commit(await snapshots.prepare([]))
  })
  afterEach(() => dispose())

  const file = (key: Digest) => join(store.layout.records, `${hexOf(key)}.json`)

  test('finds what was saved, by key only', async () => {
    const record = recordOf([{ name: 'command', value: 'true' }], { layers: [layer] })
    await store.cache.save(record)
    expect(await store.cache.find(record.key)).toEqual(record)
    expect(await store.cache.find(sha256('other'))).toBeUndefined()
    expect(await collected(store.cache.list())).toEqual([record])
    await store.cache.delete(record.key)
    await store.cache.delete(record.key)
    expect(await store.cache.find(record.key)).toBeUndefined()
  })

  test('any parts survive the round trip', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ name: fc.string({ unit: 'binary' }), value: fc.jsonValue({ noUnicodeString: false }) })),
        async (parts) => {
          // JSON knows no -0.
          const record = recordOf(JSON.parse(JSON.stringify(parts)) as KeyPart[])
          await store.cache.save(record)
          expect(await store.cache.find(record.key)).toEqual(record)
        },
      ),
      { numRuns: 50 },
    )
  })

  test('a record of a layer that is not there is a miss, until the layer can be fetched', async () => {
    const gone = 'a'.repeat(32) as LayerId
    const record = recordOf([], { layers: [layer, gone] })
    await store.cache.save(record)
    expect(await store.cache.find(record.key)).toBeUndefined()
    const blob = await store.blobs.put(Buffer.from('layer'))
    await store.layers.update(gone, { blobs: [{ mediaType: 'x', ...blob }] })
    expect(await store.cache.find(record.key)).toBeUndefined()
    await store.layers.update(gone, { diffId: sha256('tar') })
    // Its tar says nothing of what it is the difference to.
    expect(await store.cache.find(record.key)).toBeUndefined()
    await store.layers.update(gone, { parent: [layer] })
    expect(await store.cache.find(record.key)).toBeDefined()
  })

  test('the caller may know where else a layer can be fetched', async () => {
    const gone = 'a'.repeat(32) as LayerId
    const record = recordOf([], { layers: [gone] })
    await store.cache.save(record)
    expect(await store.layers.claim([layer, gone])).toEqual(
      new Map([
        [layer, 'directory'],
        [gone, 'missing'],
      ]),
    )
    store.layers.remote.add(gone)
    expect(await store.cache.find(record.key)).toBeDefined()
    expect(store.layers.state(gone)).toBe('remote')
    store.layers.remote.delete(gone)
    expect(await store.cache.find(record.key)).toBeUndefined()
  })

  test('cut short at any byte, or with any byte changed, it is a miss and no error', async () => {
    const record = recordOf([{ name: 'a', value: 1 }])
    await store.cache.save(record)
    const whole = readFileSync(file(record.key))
    for (let length = 0; length < whole.length; length++) {
      truncateSync(file(record.key), length)
      expect(await store.cache.find(record.key)).toBeUndefined()
      writeFileSync(file(record.key), whole)
      const changed = Buffer.from(whole)
      changed[length] = (changed[length] as number) ^ 1
      writeFileSync(file(record.key), changed)
      const found = await store.cache.find(record.key)
      // The wrapping around value and checksum may differ without harm; the content may not.
      if (found !== undefined) expect({ ...found, lastUsed: '' }).toEqual({ ...record, lastUsed: '' })
      writeFileSync(file(record.key), whole)
    }
    expect(await collected(store.cache.list())).toHaveLength(1)
  })

  test('a record under the name of another is a miss', async () => {
    const [one, two] = [recordOf([{ name: 'a', value: 1 }]), recordOf([{ name: 'a', value: 2 }])]
    await store.cache.save(one)
    writeFileSync(file(two.key), readFileSync(file(one.key)))
    expect(await store.cache.find(two.key)).toBeUndefined()
  })

  test('a hit renews lastUsed once an hour and otherwise writes nothing', async () => {
    const record = recordOf([])
    await store.cache.save(record)
    const recent = Date.now() - HOUR / 2
    utimesSync(file(record.key), recent / 1000, recent / 1000)
    await store.cache.find(record.key)
    expect(statSync(file(record.key)).mtimeMs).toBeCloseTo(recent, -2)
    const old = Date.now() - 2 * HOUR
    utimesSync(file(record.key), old / 1000, old / 1000)
    await store.cache.find(record.key)
    expect(Date.now() - statSync(file(record.key)).mtimeMs).toBeLessThan(HOUR / 2)
  })

  test('nearest gives the latest records of a step, newest first, and its list stays short', async () => {
    const records = Array.from({ length: 200 }, (_, index) => recordOf([{ name: 'n', value: index }], { step: 'odd/step: ../x\n' }))
    for (const record of records) await store.cache.save(record)
    await store.cache.save(recordOf([{ name: 'n', value: 'other' }], { step: 'another' }))
    await store.cache.save(records[198] as CacheRecord)
    const found = await store.cache.nearest('odd/step: ../x\n', 3)
    expect(found.map(({ parts }) => parts[0]?.value)).toEqual([198, 199, 197])
    expect(await store.cache.nearest('never built')).toEqual([])
    const lists = readdirSync(store.layout.steps).map((name) => statSync(join(store.layout.steps, name)).size)
    expect(Math.max(...lists)).toBeLessThan(65 * 73)
  })
})

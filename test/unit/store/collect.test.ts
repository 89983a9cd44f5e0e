import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, sha256 } from '../../../src/base/digest.ts'
import { createSnapshotter } from '../../../src/snapshot/snapshotter.ts'
import { collect } from '../../../src/store/collect.ts'
import { diskUsage } from '../../../src/store/disk-usage.ts'
import { openStore, type Store } from '../../../src/store/store.ts'
import type { LayerId, Snapshot } from '../../../src/store/types.ts'
import { MediaType } from '../../../src/values/oci.ts'
import { collected, temporaryStore } from '../../suites/temporary-store.ts'

const DAY = 24 * 3600_000

describe('collecting garbage', () => {
  /** `build` is a store that is closed when a build ends; `store` is the one that collects. */
  let build: Store
  let store: Store
  let dispose: () => Promise<void>
  beforeEach(async () => {
    const made = await temporaryStore()
    build = made.store
    store = await openStore(made.root)
    dispose = async () => {
      await store.close()
      await made.dispose()
    }
  })
  afterEach(() => dispose())

  async function layer(bytes = 10_000): Promise<LayerId> {
    const snapshots = createSnapshotter(build)
    const active = await snapshots.prepare([])
    writeFileSync(join(active.upper, 'file'), Buffer.alloc(bytes, 'x'))
    return await snapshots.commit(active)
  }

  async function record(name: string, layers: Snapshot, age = 0): Promise<Digest> {
    const lastUsed = new Date(Date.now() - age).toISOString()
    const key = sha256(name)
    await build.cache.save({ version: 1, key, parts: [{ name: 'n', value: name }], step: 's', layers, created: lastUsed, lastUsed })
    return key
  }

  async function image(name: string, layers: Snapshot): Promise<Digest> {
    const { digest } = await build.blobs.put(Buffer.from(`config of ${name}`))
    const platform = { os: 'linux', architecture: 'amd64' }
    await build.images.set({ name, config: digest, layers: layers.map((id) => ({ id, diffId: digest })), platform, created: '', size: 0 })
    return digest
  }

  const layersNow = () => store.layers.directories().sort()
  const kinds = (items: readonly { type: string }[]) => items.map(({ type }) => type).sort()

  test('takes what nothing refers to, and only that', async () => {
    const [kept, imaged, garbage] = [await layer(), await layer(), await layer()]
    await record('r', [kept])
    const config = await image('i', [imaged])
    const blob = (await build.blobs.put(Buffer.from('a blob of the kept layer'))).digest
    await build.layers.update(kept, { blobs: [{ mediaType: MediaType.ociLayer, digest: blob, size: 24 }] })
    const lost = (await build.blobs.put(Buffer.from('lost'))).digest
    await build.layers.update('f'.repeat(32) as LayerId, { size: 1 })
    await build.close()
    const result = await collect(store)
    expect(result.removed.map(({ id }) => id).sort()).toEqual([garbage, lost].sort())
    expect(result.freed).toBeGreaterThanOrEqual(10_000)
    expect(layersNow()).toEqual([kept, imaged].sort())
    expect((await collected(store.blobs.list())).sort()).toEqual([config, blob].sort())
    expect(store.layers.known()).toEqual([kept])
    expect(readdirSync(store.layout.tmp)).toEqual([])
  })

  test('a layer that is a blob alone counts as its blobs, which go with the last that has it', async () => {
    const blob = (await build.blobs.put(Buffer.alloc(20_000, 'b'))).digest
    const times = (await build.blobs.put(Buffer.alloc(5000, 't'))).digest
    const id = 'e'.repeat(32) as LayerId
    await build.layers.update(id, {
      diffId: blob,
      parent: [],
      times,
      blobs: [{ mediaType: MediaType.ociLayer, digest: blob, size: 20_000 }],
    })
    const key = await record('r', [id], 2 * DAY)
    await build.close()
    const [used] = (await diskUsage(store)).records
    expect(used?.usage.unique).toBeGreaterThanOrEqual(25_000)
    expect((await collect(store, { rules: [{ keepBytes: 100_000 }] })).removed).toEqual([])
    expect(store.layers.state(id)).toBe('blob')
    const { removed } = await collect(store, { rules: [{ keepBytes: 20_000 }] })
    expect(removed.find((item) => item.id === key)?.size).toBeGreaterThanOrEqual(25_000)
    expect(removed.map((item) => item.id).sort()).toEqual([blob, key, times].sort())
    expect(store.layers.known()).toEqual([])
  })

  test('never takes what a running build uses, committed or found', async () => {
    const [found, fresh] = [await layer(), await layer()]
    const key = await record('r', [found], 100 * DAY)
    await build.close()
    const running = await openStore(build.layout.root)
    expect(await running.cache.find(key)).toBeDefined()
    build = running
    const another = await layer()
    const blob = (await running.blobs.put(Buffer.from('half of an export'))).digest
    await collect(store, { rules: [{}] })
    expect(layersNow()).toEqual([found, another].sort())
    expect(layersNow()).not.toContain(fresh)
    expect(await collected(store.blobs.list())).toEqual([blob])
    expect(await running.cache.find(key)).toBeDefined()
    await running.close()
    await collect(store, { rules: [{}] })
    expect(layersNow()).toEqual([])
  })

  test('unusedFor and no bound take records, images keep their layers', async () => {
    const [a, b, c] = [await layer(), await layer(), await layer()]
    const old = await record('old', [a], 10 * DAY)
    const young = await record('young', [b], DAY)
    await image('i', [c])
    await record('of the image', [c], 20 * DAY)
    await build.close()
    await collect(store, { rules: [{ unusedFor: 5 * DAY }] })
    expect((await collected(store.cache.list())).map(({ key }) => key)).toEqual([young])
    expect(await store.cache.find(old)).toBeUndefined()
    expect(layersNow()).toEqual([b, c].sort())
    const result = await collect(await reopened(), { rules: [{ filter: (item) => item.id !== young }] })
    expect(kinds(result.removed)).toEqual([])
    await collect(store, { rules: [{}] })
    expect(layersNow()).toEqual([c])
  })

  test('keepBytes takes the least recently used until the rest is small enough', async () => {
    const ids = [await layer(100_000), await layer(100_000), await layer(100_000)]
    for (const [age, id] of ids.entries()) await record(`r${age}`, [id], age * DAY)
    await record('shares the first', [ids[0] as LayerId], 5 * DAY)
    await build.close()
    await collect(store, { rules: [{ keepBytes: 250_000 }] })
    expect(layersNow()).toEqual(ids.slice(0, 2).sort())
    expect(await collected(store.cache.list())).toHaveLength(3)
  })

  test('dryRun tells the same and takes nothing', async () => {
    await record('r', [await layer()])
    await image('i', [])
    await layer()
    await build.blobs.put(Buffer.from('lost'))
    const use = await build.cacheMounts.acquire({ id: 'm', sharing: 'shared' })
    use.release()
    await build.close()
    const before = layersNow()
    const dry = await collect(store, { rules: [{}], dryRun: true })
    expect(layersNow()).toEqual(before)
    expect(kinds(dry.removed)).toEqual(['blob', 'layer', 'layer', 'mount', 'record'])
    expect(await collect(store, { rules: [{}] })).toEqual(dry)
    expect((await collect(store, { rules: [{}] })).removed).toEqual([])
  })

  test('what another tool put into the OCI layout stays', async () => {
    const put = async (value: object) => (await build.blobs.put(Buffer.from(JSON.stringify(value)))).digest
    const [config, blob] = [await put({ a: 1 }), await put({ b: 2 })]
    const manifest = await put({ schemaVersion: 2, config: { digest: config }, layers: [{ digest: blob }] })
    const index = await put({ schemaVersion: 2, manifests: [{ digest: manifest }] })
    writeFileSync(join(build.layout.oci, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [{ digest: index }] }))
    await build.close()
    await collect(store, { rules: [{}] })
    expect((await collected(store.blobs.list())).sort()).toEqual([config, blob, manifest, index].sort())
  })

  test('disk usage counts shared and unique bytes', async () => {
    const [shared, mine] = [await layer(200_000), await layer(100_000)]
    await image('i', [shared, mine])
    await record('r', [shared])
    const usage = await diskUsage(store)
    const [ofImage] = usage.images
    expect(ofImage?.usage.unique).toBeGreaterThanOrEqual(100_000)
    expect(ofImage?.usage.unique).toBeLessThan(150_000)
    expect(usage.records[0]?.usage).toEqual({ unique: 0, shared: ofImage?.usage.shared })
    expect(usage.layers.map(({ id, users }) => [id, users]).sort()).toEqual(
      [
        [shared, 2],
        [mine, 1],
      ].sort(),
    )
    expect(usage.total).toBeGreaterThan(300_000)
  })

  async function reopened(): Promise<Store> {
    await store.close()
    store = await openStore(build.layout.root)
    return store
  }
})

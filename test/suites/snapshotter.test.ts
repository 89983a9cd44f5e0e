import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSnapshotter } from '../../src/snapshot/snapshotter.ts'
import type { Snapshotter } from '../../src/snapshot/types.ts'
import type { Store } from '../../src/store/store.ts'
import type { LayerId } from '../../src/store/types.ts'
import { collected, temporaryStore } from './temporary-store.ts'

const chainId = 'c'.repeat(64) as LayerId

describe('a snapshotter over a store', () => {
  let store: Store
  let snapshots: Snapshotter
  let dispose: () => Promise<void>
  beforeEach(async () => {
    ;({ store, dispose } = await temporaryStore())
    snapshots = createSnapshotter(store)
  })
  afterEach(() => dispose())

  const leftovers = () => readdirSync(store.layout.tmp)

  async function layerWith(text: string, parent: readonly LayerId[] = [], id?: LayerId): Promise<LayerId> {
    const active = await snapshots.prepare(parent)
    writeFileSync(join(active.upper, 'file'), text)
    return await snapshots.commit(active, id === undefined ? {} : { id })
  }

  test('a layer is written, committed and a parent of the next', async () => {
    const first = await layerWith('one')
    const active = await snapshots.prepare([first])
    expect(active.lower).toEqual(await snapshots.directories([first]))
    expect(readFileSync(join(active.lower[0] as string, 'file'), 'utf8')).toBe('one')
    expect(statSync(active.upper).mode & 0o7777).toBe(0o755)
    expect(statSync(active.work).dev).toBe(statSync(active.upper).dev)
    const second = await snapshots.commit(active)
    expect(second).not.toBe(first)
    expect((await collected(snapshots.list())).sort()).toEqual([first, second].sort())
    expect(leftovers()).toEqual([])
  })

  test('a layer that stands twice is one directory, at its upper place', async () => {
    const [linked, between] = [await layerWith('linked'), await layerWith('between')]
    expect(await snapshots.directories([linked, between, linked])).toEqual(await snapshots.directories([between, linked]))
    expect((await snapshots.prepare([linked, between, linked])).lower).toHaveLength(2)
  })

  test('an active layer is not visible, and a discarded one leaves nothing', async () => {
    const active = await snapshots.prepare([])
    writeFileSync(join(active.upper, 'file'), 'x')
    expect(await collected(snapshots.list())).toEqual([])
    await snapshots.discard(active)
    expect(leftovers()).toEqual([])
  })

  test('of two commits of one id the first wins, and both get it', async () => {
    expect(await layerWith('mine', [], chainId)).toBe(chainId)
    expect(await layerWith('theirs', [], chainId)).toBe(chainId)
    const [directory] = await snapshots.directories([chainId])
    expect(readFileSync(join(directory as string, 'file'), 'utf8')).toBe('mine')
    expect(leftovers()).toEqual([])
  })

  test('what is known grows, also of a layer that is not there', async () => {
    await store.layers.update(chainId, { size: 7 })
    expect(store.layers.state(chainId)).toBe('missing')
    await store.layers.update(chainId, { diffId: `sha256:${'d'.repeat(64)}` as never })
    expect(store.layers.info(chainId)).toEqual({ size: 7, diffId: `sha256:${'d'.repeat(64)}` })
    await layerWith('fetched', [], chainId)
    expect(store.layers.state(chainId)).toBe('directory')
    expect(store.layers.info(chainId)).toEqual({ size: 7, diffId: `sha256:${'d'.repeat(64)}` })
  })

  test('many updates at once are all kept', async () => {
    await Promise.all([
      store.layers.update(chainId, { size: 1 }),
      store.layers.update(chainId, { created: '2020-01-01T00:00:00Z' }),
      store.layers.update(chainId, { tarSize: 2 }),
    ])
    expect(Object.keys(store.layers.info(chainId) ?? {}).sort()).toEqual(['created', 'size', 'tarSize'])
  })

  test('a missing parent is named', async () => {
    await expect(snapshots.prepare([chainId])).rejects.toMatchObject({
      code: 'SNAPSHOT_MISSING',
      message: expect.stringContaining(chainId),
    })
  })

  test('a removed layer is gone with what was known of it', async () => {
    const id = await layerWith('x')
    await store.layers.update(id, { size: 1 })
    await snapshots.remove(id)
    expect(store.layers.state(id)).toBe('missing')
    expect(store.layers.info(id)).toBeUndefined()
    expect(existsSync(store.layers.directory(id))).toBe(false)
    expect(leftovers()).toEqual([])
  })

  test.each(['../../../etc', 'A'.repeat(64), '', 'abc'])('the id %j is refused', async (id) => {
    await expect(store.layers.claim([id as LayerId])).rejects.toMatchObject({ code: 'LAYER_ID_INVALID' })
    await expect(layerWith('x', [], id as LayerId)).rejects.toMatchObject({ code: 'LAYER_ID_INVALID' })
  })

  test('a layer of an earlier boot counts when it was synced, and is replaced when not', async () => {
    const id = await layerWith('torn', [], chainId)
    const mark = join(store.layers.directory(id), 'boot')
    writeFileSync(mark, '00000000-another-boot')
    const later = await temporaryView(store)
    expect(later.store.layers.state(id)).toBe('missing')
    const active = await later.snapshots.prepare([])
    writeFileSync(join(active.upper, 'file'), 'whole')
    await later.snapshots.commit(active, { id })
    expect(readFileSync(join(store.layers.fs(id), 'file'), 'utf8')).toBe('whole')
    await later.store.flush()
    expect(readFileSync(mark, 'utf8')).toBe('durable')
    expect(later.store.layers.state(id)).toBe('directory')
    await later.store.close()
  })
})

async function temporaryView(store: Store): Promise<{ store: Store; snapshots: Snapshotter }> {
  const { openStore } = await import('../../src/store/store.ts')
  const view = await openStore(store.layout.root)
  return { store: view, snapshots: createSnapshotter(view) }
}

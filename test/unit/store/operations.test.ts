import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sha256 } from '../../../src/base/digest.ts'
import { createSnapshotter } from '../../../src/snapshot/snapshotter.ts'
import { collect } from '../../../src/store/collect.ts'
import { openSharedStore, openStore, type SharedStore, type Store } from '../../../src/store/store.ts'
import type { LayerId } from '../../../src/store/types.ts'

describe('operations on one store of a process that lives long', () => {
  let root: string
  let shared: SharedStore
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'tbuild-store-'))
    shared = openSharedStore(root)
  })
  afterEach(() => rm(root, { recursive: true, force: true }))

  const layers = () => readdirSync(shared.layout.layers).filter((name) => !name.endsWith('.json'))
  const leases = () => readdirSync(shared.layout.leases)

  async function layer(store: Store): Promise<LayerId> {
    const snapshots = createSnapshotter(store)
    const active = await snapshots.prepare([])
    writeFileSync(join(active.upper, 'file'), 'x')
    return snapshots.commit(active)
  }

  /** As `tbuild prune --all` of another process. */
  async function prune(): Promise<void> {
    const other = await openStore(root)
    await collect(other, { rules: [{}] })
    await other.close()
  }

  test('a store that was removed between two operations is an empty one', async () => {
    const before = shared.begin()
    await layer(before)
    await before.close()
    await rm(root, { recursive: true })
    const after = shared.begin()
    expect(layers()).toEqual([])
    const made = await layer(after)
    await after.flush()
    await after.close()
    expect([layers(), leases()]).toEqual([[made], []])
  })

  test('what an operation used is collected when it is over, and not before; the others keep theirs', async () => {
    const [one, two] = [shared.begin(), shared.begin()]
    const [first, second] = [await layer(one), await layer(two)]
    await prune()
    expect(layers().sort()).toEqual([first, second].sort())
    await one.close()
    await prune()
    expect(layers()).toEqual([second])
    await two.close()
    expect(leases()).toEqual([])
    await prune()
    expect(layers()).toEqual([])
  })

  test('an operation knows nothing of what an earlier one found there', async () => {
    const before = shared.begin()
    const id = await layer(before)
    const key = sha256('key')
    await before.cache.save({ version: 1, key, parts: [], step: 's', layers: [id], created: '', lastUsed: new Date().toISOString() })
    await before.close()
    await prune()
    const after = shared.begin()
    expect(await after.layers.claim([id])).toEqual(new Map([[id, 'missing']]))
    expect(await after.cache.find(key)).toBeUndefined()
    await after.close()
  })

  test('one that begins while another runs keeps what both found', async () => {
    const one = shared.begin()
    const id = await layer(one)
    const two = shared.begin()
    expect(await two.layers.claim([id])).toEqual(new Map([[id, 'directory']]))
    await one.close()
    await prune()
    expect(layers()).toEqual([id])
    await two.close()
  })

  test('beginning takes no lease; an operation that is over takes none any more, and leaves nothing under tmp/', async () => {
    const store = shared.begin()
    expect(leases()).toEqual([])
    writeFileSync(store.temporary(), 'half-made')
    expect(leases()).toHaveLength(1)
    await store.close()
    expect([...leases(), ...readdirSync(shared.layout.tmp)]).toEqual([])
    expect(() => store.temporary()).toThrow('is over')
    await expect(store.blobs.stat(sha256('blob'))).rejects.toThrow('is over')
    expect(leases()).toEqual([])
  })

  test('one that ends while a collection is decided writes its claim nowhere', async () => {
    const store = shared.begin()
    store.temporary()
    let claim: Promise<unknown> | undefined
    await shared.begin().leases.exclusively(() => {
      claim = store.blobs.stat(sha256('blob'))
    })
    const closed = store.close()
    await expect(claim).rejects.toThrow('is over')
    await closed
    expect(leases()).toEqual([])
    expect(existsSync(join(shared.layout.locks, 'gc'))).toBe(true)
  })
})

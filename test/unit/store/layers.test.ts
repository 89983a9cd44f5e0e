import { readFileSync } from 'node:fs'
import { sha256 } from '../../../src/base/digest.ts'
import { openStore } from '../../../src/store/store.ts'
import type { LayerId } from '../../../src/store/types.ts'
import { temporaryStore } from '../../suites/temporary-store.ts'

test('what is known of a layer is recalled as this operation read or wrote it; gc, which asks for info, sees what others add', async () => {
  const { store, dispose } = await temporaryStore()
  const other = await openStore(store.layout.root)
  try {
    const id = 'a'.repeat(32) as LayerId
    expect(store.layers.recall(id)).toBeUndefined()
    await other.layers.update(id, { tarSize: 1 })
    expect(store.layers.recall(id)).toEqual({ tarSize: 1 })
    await other.layers.update(id, { size: 2 })
    expect(store.layers.recall(id)).toEqual({ tarSize: 1 })
    expect(store.layers.info(id)).toEqual({ tarSize: 1, size: 2 })
    await store.layers.update(id, { tarSize: 3 })
    expect([store.layers.recall(id), other.layers.info(id)]).toEqual(Array(2).fill({ tarSize: 3, size: 2 }))
    store.layers.forget(id)
    expect(store.layers.recall(id)).toBeUndefined()
  } finally {
    await other.close()
    await dispose()
  }
})

test('a layer that is a blob alone is for a tbuild that knows nothing of its times one without a parent, which it does not unpack', async () => {
  const { store, dispose } = await temporaryStore()
  const other = await openStore(store.layout.root)
  const [id, below] = ['a'.repeat(32) as LayerId, 'b'.repeat(32) as LayerId]
  const kept = () => JSON.parse(readFileSync(`${store.layers.directory(id)}.json`, 'utf8')).value
  const times = sha256('times')
  try {
    await store.layers.update(id, { diffId: sha256('tar'), parent: [below], times, tarSize: 1 })
    expect(kept()).toEqual({ diffId: sha256('tar'), tarSize: 1, packed: { parent: [below], times } })
    const info = { diffId: sha256('tar'), parent: [below], times, tarSize: 1 }
    expect([store.layers.recall(id), store.layers.info(id), other.layers.recall(id)]).toEqual([info, info, info])
    // As when it is unpacked.
    await other.layers.update(id, { parent: [below], size: 2 })
    expect(kept()).toEqual({ diffId: sha256('tar'), tarSize: 1, size: 2, packed: { parent: [below], times } })
    expect(other.layers.info(id)).toEqual({ ...info, size: 2 })
  } finally {
    await other.close()
    await dispose()
  }
})

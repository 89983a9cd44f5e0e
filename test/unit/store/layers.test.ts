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

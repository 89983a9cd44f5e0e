import { closeSync, openSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSnapshotter } from '../../../src/snapshot/snapshotter.ts'
import { bootMark, syncInThread } from '../../../src/store/durability.ts'
import { openStore } from '../../../src/store/store.ts'
import type { LayerId } from '../../../src/store/types.ts'
import { temporaryStore } from '../../suites/temporary-store.ts'

test('a thread syncs a file system, and says when it cannot', async () => {
  const fd = openSync(tmpdir(), 'r')
  await syncInThread(fd)
  closeSync(fd)
  await expect(syncInThread(987654)).rejects.toMatchObject({ code: 'EBADF' })
})

test('flush marks what this process made and what it used of others', async () => {
  const { store, root, dispose } = await temporaryStore()
  const mark = (id: LayerId) => readFileSync(join(store.layers.directory(id), 'boot'), 'utf8')
  const snapshots = createSnapshotter(store)
  const [mine, unused] = [await snapshots.commit(await snapshots.prepare([])), await snapshots.commit(await snapshots.prepare([]))]
  expect(mark(mine)).toBe(bootMark())
  const other = await openStore(root)
  await createSnapshotter(other).directories([mine])
  await other.flush()
  expect([mark(mine), mark(unused)]).toEqual(['durable', bootMark()])
  await store.flush()
  expect(mark(unused)).toBe('durable')
  await other.close()
  await dispose()
})

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, jest, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import * as atomic from '../../../src/store/atomic-file.ts'

const durable: boolean[] = []
const { writeAtomicSync } = atomic
jest.unstable_mockModule('../../../src/store/atomic-file.ts', () => ({
  ...atomic,
  writeAtomicSync: (...args: Parameters<typeof writeAtomicSync>) => {
    durable.push(args[3].durable)
    writeAtomicSync(...args)
  },
}))
const { createSnapshotter } = await import('../../../src/snapshot/snapshotter.ts')
const { temporaryStore } = await import('../../suites/temporary-store.ts')

/** A file that is replaced without a sync may be empty after a power cut: neither the old bytes nor the new ones. */
test('what alone finds the blob of a layer after a power cut is replaced durably, and nothing else is', async () => {
  const { store, dispose } = await temporaryStore()
  const snapshots = createSnapshotter(store)
  const id = await snapshots.commit(await snapshots.prepare([]), { info: { parent: [] } })
  const blob = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...(await store.blobs.put(Buffer.from('blob'))) }
  const update = async (more: Parameters<typeof store.layers.update>[1]) => {
    durable.length = 0
    await store.layers.update(id, more)
    return durable
  }
  expect(await update({ size: 1 })).toEqual([false])
  expect(await update({ diffId: sha256('tar'), blobs: [blob] })).toEqual([false])
  expect(await update({ size: 2 })).toEqual([true])
  writeFileSync(join(store.layers.directory(id), 'boot'), 'durable')
  expect(await update({ size: 3 })).toEqual([false])
  writeFileSync(join(store.layers.directory(id), 'boot'), 'a boot before')
  expect(await update({ size: 4 })).toEqual([true])
  await store.blobs.delete(blob.digest)
  expect(await update({ size: 5 })).toEqual([false])
  await dispose()
})

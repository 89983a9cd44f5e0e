import { availableParallelism } from 'node:os'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import { rewriteTimestamps } from '../../../src/image/rewrite-timestamps.ts'
import { ofEach } from '../../../src/layers/packing.ts'
import type { Layer } from '../../../src/layers/types.ts'
import type { LayerId } from '../../../src/store/types.ts'
import { createMemoryBlobStore } from '../../support/memory-blob-store.ts'
import { file, write } from '../tar/items.ts'

const ids = Array.from({ length: 12 }, (_, index) => `layer${index}` as LayerId)

/** Everybody waits until `count` are here, so that what comes one after the other never goes on. */
function meeting(count: number): () => Promise<void> {
  let open = () => {}
  const all = new Promise<void>((resolve) => {
    open = resolve
  })
  let here = 0
  return () => {
    here += 1
    if (here === count) open()
    return all
  }
}

test('rewritten layers are packed side by side', async () => {
  const meet = meeting(2)
  const images = await Promise.all(
    ids.map(async (id): Promise<Layer> => {
      const bytes = await write([file(id, id, { mtime: 900 })])
      const tar = async function* () {
        await meet()
        yield bytes
      }
      return { id, diffId: sha256(bytes), created: undefined, tar, blob: () => Promise.reject(new Error('not wanted')) }
    }),
  )
  const made = await rewriteTimestamps(images, { epoch: 500, base: [], blobs: createMemoryBlobStore(), form: {} })
  expect(made.map(({ id }) => id)).toEqual(ids)
})

test('how many are packed at once is bounded, whatever the number of layers', async () => {
  let open = 0
  let most = 0
  const many = Array.from({ length: 300 }, (_, index) => index)
  const done = await ofEach(many, async (index) => {
    most = Math.max(most, ++open)
    await wait(1)
    open -= 1
    return index
  })
  expect(done).toEqual(many)
  expect(open).toBe(0)
  expect(most).toBeGreaterThan(1)
  expect(most).toBeLessThanOrEqual(Math.max(4, availableParallelism()))
})

test('after a failure no layer is begun, and none goes on behind the back of the caller', async () => {
  const begun: number[] = []
  let open = 0
  const many = Array.from({ length: 112 }, (_, index) => index)
  const packing = ofEach(many, async (index) => {
    begun.push(index)
    open += 1
    await wait(index === 1 ? 5 : 30)
    open -= 1
    if (index === 1) throw new Error('the disk fails')
  })
  await expect(packing).rejects.toThrow('the disk fails')
  expect(open).toBe(0)
  expect(begun.length).toBeLessThan(many.length / 2)
})

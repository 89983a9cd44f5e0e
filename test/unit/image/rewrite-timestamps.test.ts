import { expect, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import { rewriteTimestamps } from '../../../src/image/rewrite-timestamps.ts'
import type { Layer } from '../../../src/layers/types.ts'
import type { LayerId } from '../../../src/store/types.ts'
import { readTar } from '../../../src/tar/read.ts'
import { createMemoryBlobStore } from '../../support/memory-blob-store.ts'
import { chunks, collect, entry, file, type Whole, write } from '../tar/items.ts'

async function layer(id: string, items: readonly Whole[]): Promise<Layer> {
  const bytes = await write(items)
  const unused = async () => {
    throw new Error('the blob of a layer that is rewritten is not wanted')
  }
  return { id: id as LayerId, diffId: sha256(bytes), created: undefined, tar: () => chunks(bytes, 1000), blob: unused }
}

async function times(layer: Layer): Promise<Record<string, number>> {
  const found: Record<string, number> = {}
  for await (const { entry } of readTar(layer.tar())) found[entry.name.toString('latin1')] = entry.mtime
  return found
}

test('L9 only later times of new layers are clamped; everything else of a member stays', async () => {
  const capability = new Map([['security.capability', Buffer.from('0100000200200000000000000000000000000000', 'hex')]])
  const base = await layer('base', [file('base', 'x', { mtime: 900 })])
  const over = await layer('over', [
    { entry: entry('d', { type: 'directory', mode: 0o1777, mtime: 501 }), data: Buffer.alloc(0) },
    file('late', 'content', { mtime: 501, uid: 3_000_000, mode: 0o4755, xattrs: capability }),
    file('early', 'content', { mtime: 499 }),
    file('.wh.gone', '', { mtime: 0 }),
    file(Buffer.from('\xff\xfe', 'latin1'), 'bytes', { mtime: 10 ** 10 }),
  ])
  const blobs = createMemoryBlobStore()
  const [same, rewritten] = await rewriteTimestamps([base, over], { epoch: 500, base: [base.diffId], blobs })
  expect(same).toBe(base)
  expect(await times(rewritten as Layer)).toEqual({ d: 500, late: 500, early: 499, '.wh.gone': 0, '\xff\xfe': 500 })
  expect(rewritten?.diffId).toBe(sha256(await collect((rewritten as Layer).tar())))
  const items = []
  for await (const { entry, content } of readTar((rewritten as Layer).tar())) items.push({ entry, data: await collect(content) })
  expect(items.find(({ entry }) => entry.name.toString() === 'late')).toMatchObject({
    entry: { uid: 3_000_000, mode: 0o4755, xattrs: capability },
    data: Buffer.from('content'),
  })
  const { descriptor } = await (rewritten as Layer).blob({ compression: 'gzip' })
  expect(await blobs.stat(descriptor.digest)).toEqual({ size: descriptor.size })
  expect(descriptor.annotations).toEqual({ 'buildkit/rewritten-timestamp': '500' })
})

test('L9 a layer after the first new one is new, even when the base has its diffID', async () => {
  const [one, two] = [await layer('one', [file('a', '', { mtime: 900 })]), await layer('two', [file('b', '', { mtime: 900 })])]
  const made = await rewriteTimestamps([two, one], { epoch: 500, base: [one.diffId, one.diffId], blobs: createMemoryBlobStore() })
  expect(await Promise.all(made.map(times))).toEqual([{ b: 500 }, { a: 500 }])
})

test('a tar that is not what its diffID says is refused', async () => {
  const good = await layer('a', [file('a', 'x', { mtime: 900 })])
  const altered: Layer = {
    ...good,
    tar: async function* () {
      yield* good.tar()
      throw Object.assign(new Error('altered'), { code: 'LAYER_CHANGED' })
    },
  }
  const options = { epoch: 500, base: [], blobs: createMemoryBlobStore() }
  await expect(rewriteTimestamps([altered], options)).rejects.toMatchObject({ code: 'LAYER_CHANGED' })
})

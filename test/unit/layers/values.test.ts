import { availableParallelism } from 'node:os'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import { rewriteTimestamps } from '../../../src/image/rewrite-timestamps.ts'
import type { Layer } from '../../../src/layers/types.ts'
import { StoreLayers } from '../../../src/layers/values.ts'
import type { BlobStore, LayerId, LayerInfo } from '../../../src/store/types.ts'
import type { TarItem } from '../../../src/tar/types.ts'
import { createMemoryBlobStore } from '../../support/memory-blob-store.ts'
import { chunks, file, write } from '../tar/items.ts'

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

interface Reading {
  readonly changes: (id: LayerId) => AsyncIterable<TarItem>
  readonly signal?: AbortSignal
}

function storeLayers({ changes, signal }: Reading, blobs: BlobStore = createMemoryBlobStore()) {
  const known = new Map<LayerId, LayerInfo>()
  const snapshots = {
    info: async (id: LayerId) => known.get(id),
    update: async (id: LayerId, info: LayerInfo) => void known.set(id, { ...known.get(id), ...info }),
  }
  return { layers: new StoreLayers({ blobs, snapshots, changes, ...(signal && { signal }) }), known }
}

async function* itemOf(id: LayerId, size = 10): AsyncGenerator<TarItem> {
  const { entry, data } = file(id, id.padEnd(size))
  yield { entry, content: chunks(data, 1000) }
}

test('layers of one image are packed side by side, their order and bytes are those of one after the other', async () => {
  const meet = meeting(2)
  const { layers } = storeLayers({
    async *changes(id) {
      await meet()
      yield* itemOf(id)
    },
  })
  const opened = await layers.openAll(ids, { form: {} })
  expect(opened.map(({ id }) => id)).toEqual(ids)
  const alone = storeLayers({ changes: itemOf }).layers
  for (const [index, layer] of opened.entries()) {
    const expected = await alone.open(ids[index] as LayerId, { form: {} })
    expect(layer.diffId).toBe(expected.diffId)
    expect((await layer.blob()).descriptor).toEqual((await expected.blob()).descriptor)
  }
})

test('rewritten layers are packed side by side', async () => {
  const meet = meeting(2)
  const images = await Promise.all(
    ids.map(async (id): Promise<Layer> => {
      const bytes = await write([file(id, id, { mtime: 900 })])
      const tar = async function* () {
        await meet()
        yield bytes
      }
      return { id, diffId: sha256(bytes), tar, blob: () => Promise.reject(new Error('not wanted')) }
    }),
  )
  const made = await rewriteTimestamps(images, { epoch: 500, base: [], blobs: createMemoryBlobStore(), form: {} })
  expect(made.map(({ id }) => id)).toEqual(ids)
})

test('how many are packed at once is bounded, whatever the number of layers', async () => {
  let open = 0
  let most = 0
  const many = Array.from({ length: 300 }, (_, index) => `many${index}` as LayerId)
  const { layers } = storeLayers({
    async *changes(id) {
      most = Math.max(most, ++open)
      await wait(1)
      yield* itemOf(id)
      open -= 1
    },
  })
  await layers.openAll(many, { form: {} })
  expect(open).toBe(0)
  expect(most).toBeGreaterThan(1)
  expect(most).toBeLessThanOrEqual(Math.max(4, availableParallelism()))
})

test('after a failure no layer is begun, and none goes on behind the back of the caller', async () => {
  const begun: LayerId[] = []
  let open = 0
  const { layers } = storeLayers({
    async *changes(id) {
      begun.push(id)
      open += 1
      try {
        await wait(id === ids[1] ? 5 : 30)
        if (id === ids[1]) throw new Error('the disk fails')
        yield* itemOf(id)
      } finally {
        open -= 1
      }
    },
  })
  const many = [...ids, ...Array.from({ length: 100 }, (_, index) => `more${index}` as LayerId)]
  await expect(layers.openAll(many, { form: {} })).rejects.toThrow('the disk fails')
  expect(open).toBe(0)
  expect(begun.length).toBeLessThan(many.length / 2)
})

test('a signal ends the packing of a layer, also of one that goes on for long', async () => {
  const ended = new AbortController()
  const { layers, known } = storeLayers({
    signal: ended.signal,
    async *changes(id) {
      for (let count = 0; ; count += 1) {
        if (count === 3) ended.abort(new Error('Ctrl-C'))
        yield* itemOf(id, 600_000)
        await wait(1)
      }
    },
  })
  await expect(layers.openAll(ids.slice(0, 2), { form: {} })).rejects.toThrow('Ctrl-C')
  expect([...known]).toEqual([])
})

test('a layer that was altered is noticed while it is packed in another form', async () => {
  let text = 'before'
  const { layers } = storeLayers({
    async *changes(id) {
      const { entry, data } = file(id, text)
      yield { entry, content: chunks(data, 1000) }
    },
  })
  const [layer] = await layers.openAll(ids.slice(0, 1))
  text = 'after!'
  await expect(layer?.blob({ compression: 'gzip' })).rejects.toMatchObject({ code: 'LAYER_CHANGED' })
})

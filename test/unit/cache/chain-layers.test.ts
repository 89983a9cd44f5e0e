import type { Digest } from '../../../src/base/digest.ts'
import { sha256 } from '../../../src/base/digest.ts'
import { cacheSource, layersOfSteps, type OfferedLayer, ownLayers, spread } from '../../../src/cache/chain-layers.ts'
import type { Vertex } from '../../../src/graph/op.ts'
import type { PackedLayer } from '../../../src/layers/types.ts'
import type { LayerId } from '../../../src/store/types.ts'

const EMPTY = sha256(Buffer.alloc(1024))
const offered = (diffId: Digest, created?: string): OfferedLayer => ({
  diffId,
  descriptor: { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: sha256(`blob ${diffId}`), size: 1 },
  ...(created === undefined ? {} : { created }),
})
const [a, b, c] = ['a', 'b', 'c'].map((text) => offered(sha256(text))) as [OfferedLayer, OfferedLayer, OfferedLayer]
const base = { diffIds: [a.diffId, EMPTY, b.diffId], layers: ['1', '2', '3'] as LayerId[] }
const step = (link = false) => ({ op: link ? { kind: 'copy', link } : { kind: 'exec' } }) as Vertex

test("a chain counts when it begins with the base's layers, with its empty ones or without", () => {
  expect(ownLayers([a, offered(EMPTY), b, c], base)).toEqual([c])
  expect(ownLayers([a, b, c], base)).toEqual([c])
  expect(ownLayers([a, c], base)).toBeUndefined()
  expect(ownLayers([c, a, b], base)).toBeUndefined()
  expect(ownLayers([], base)).toBeUndefined()
})

test('steps that made nothing get an empty layer', () => {
  expect(spread([a, b], [1, 1, 2])?.map(({ diffId }) => diffId)).toEqual([a.diffId, EMPTY, b.diffId])
  expect(spread([], [0, 0])?.map(({ diffId }) => diffId)).toEqual([EMPTY, EMPTY])
})

test.each([
  ['a step with two layers', [0, 2]],
  ['a step that takes one away', [1, 0, 2]],
  ['a step of which nothing is known', [-1, 2]],
  ['layers of no step', [1]],
])('%s is no result', (_name, lengths) => {
  expect(spread([a, b], lengths)).toBeUndefined()
})

test('the id of a layer follows from its content and what it was made over, but for a link, which was made over nothing', () => {
  const ids = (layers: readonly OfferedLayer[], steps: Vertex[], below = base) =>
    layersOfSteps(layers, { base: below, steps }).map(({ id }) => id)
  const [one, two] = ids([a, b], [step(), step()])
  expect(ids([a, b], [step(), step()])).toEqual([one, two])
  expect(ids([c, b], [step(), step()])[1]).not.toBe(two)
  const other = { ...base, layers: ['9'] as LayerId[] }
  expect(ids([a], [step()], other)).not.toEqual([one])
  expect(ids([a], [step(true)], other)).toEqual(ids([a], [step(true)]))
  expect(new Set([...base.layers, one, two]).size).toBe(5)
})

test('the empty layer is had without the cache', async () => {
  const source = cacheSource({ name: 'cache', blob: () => Promise.reject(new Error('not fetched here')) })
  const [empty] = layersOfSteps(spread([], [0]) ?? [], { base, steps: [step()] })
  const chunks: Uint8Array[] = []
  const { descriptor } = empty as PackedLayer
  for await (const chunk of await source.blob(descriptor, new AbortController().signal)) chunks.push(chunk)
  expect(sha256(Buffer.concat(chunks))).toBe(descriptor.digest)
})

import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { canonicalJson } from '../../../src/base/canonical-json.ts'
import { type Digest, hexOf, sha256 } from '../../../src/base/digest.ts'
import { type CacheDocument, checkDocument, type DocumentLayer, layerIds, parseDocument } from '../../../src/cache/document.ts'
import { chainIds } from '../../../src/image/base-layers.ts'

const digest = (text: string): Digest => sha256(text)
const CREATED = '2026-01-02T03:04:05.678Z'
const parts = [
  { name: 'op', value: 'exec' },
  { name: 'args', value: ['/bin/sh', '-c', 'true'] },
]
const key = sha256(canonicalJson(parts.map(({ name, value }) => [name, value])))

const DOCUMENT: CacheDocument = {
  version: 1,
  layers: [
    { diffId: digest('base 1'), parent: [] },
    { diffId: digest('base 2'), parent: [0] },
    { diffId: digest('run'), parent: [0, 1], created: CREATED, blob: digest('blob') },
    { name: hexOf(digest('other')), parent: [] },
  ],
  records: [{ key, parts, step: 'a step', name: 'RUN true', place: 'Dockerfile:2', created: CREATED, layers: [0, 1, 2] }],
  contents: [{ layers: [0, 1], selector: { path: '/a', parents: false, exclude: ['*.md'], wildcards: true }, digest: digest('a') }],
}

type Loose = Record<string, unknown>
const changed = (change: (document: { layers: Loose[]; records: Loose[]; contents: Loose[] } & Loose) => void): unknown => {
  const copy = structuredClone(DOCUMENT) as unknown as { layers: Loose[]; records: Loose[]; contents: Loose[] } & Loose
  change(copy)
  return copy
}

test('a document that was written is read as it is', () => {
  expect(parseDocument(Buffer.from(JSON.stringify(DOCUMENT)))).toEqual(DOCUMENT)
})

test('a record may hold one layer twice, as two COPY --link of the same files do', () => {
  const twice = changed((document) => Object.assign(document.records[0] as Loose, { layers: [0, 1, 0] }))
  expect(checkDocument(twice)).toMatchObject({ records: [{ layers: [0, 1, 0] }] })
})

test.each<[string, Parameters<typeof changed>[0]]>([
  ['another version', (document) => Object.assign(document, { version: 2 })],
  ['layers that are no list', (document) => Object.assign(document, { layers: {} })],
  ['too many layers', (document) => Object.assign(document, { layers: Array.from({ length: 10_001 }, () => document.layers[0]) })],
  ['a diffId that is a path', (document) => Object.assign(document.layers[2] as Loose, { diffId: '../../etc' })],
  ['a blob that is no digest', (document) => Object.assign(document.layers[2] as Loose, { blob: 'sha256:zz' })],
  ['a name that is a path', (document) => Object.assign(document.layers[3] as Loose, { name: '../../../layers/x' })],
  ['a blob without diffId', (document) => Object.assign(document.layers[3] as Loose, { blob: digest('x') })],
  ['a layer over itself', (document) => Object.assign(document.layers[2] as Loose, { parent: [0, 2] })],
  ['a layer over a later one', (document) => Object.assign(document.layers[0] as Loose, { parent: [1] })],
  ['a time that is none', (document) => Object.assign(document.layers[2] as Loose, { created: 'now' })],
  ['a record of a layer that is not there', (document) => Object.assign(document.records[0] as Loose, { layers: [9] })],
  ['parts that are not those of the key', (document) => Object.assign(document.records[0] as Loose, { key: digest('x') })],
  ['a step of a megabyte', (document) => Object.assign(document.records[0] as Loose, { step: 'x'.repeat(1 << 20) })],
  ['a selector without path', (document) => Object.assign(document.contents[0] as Loose, { selector: { parents: true } })],
])('%s is refused', (_name, change) => {
  expect(() => checkDocument(changed(change))).toThrow(expect.objectContaining({ code: 'CACHE_INVALID' }))
})

test('whatever is not a document is refused with a code', () => {
  fc.assert(
    fc.property(fc.oneof(fc.json().map(Buffer.from), fc.uint8Array({ maxLength: 100 })), (bytes) => {
      expect(() => parseDocument(bytes)).toThrow(expect.objectContaining({ code: 'CACHE_INVALID' }))
    }),
  )
})

describe('ids of layers', () => {
  const of = (...layers: DocumentLayer[]) => layerIds({ version: 1, layers, records: [], contents: [] })

  test('base layers are found under their chainID, which their image gives them too', () => {
    expect(layerIds(DOCUMENT).slice(0, 2)).toEqual(chainIds([digest('base 1'), digest('base 2')]))
  })

  test('a layer with a blob never has the id of an image layer: a cache cannot stand in for one', () => {
    const [base] = of({ diffId: digest('base'), parent: [] })
    const [carried] = of({ diffId: digest('base'), parent: [], blob: digest('evil') })
    expect(carried).not.toBe(base)
    expect(carried).toMatch(/^[0-9a-f]{64}$/)
  })

  test('they follow from parents, content and time, and from nothing that the cache chooses', () => {
    const layer = { diffId: digest('run'), parent: [], created: CREATED, blob: digest('one') }
    const [id] = of(layer)
    expect(of({ ...layer, blob: digest('another') })).toEqual([id])
    expect(of({ ...layer, diffId: digest('x') })).not.toEqual([id])
    expect(of({ ...layer, created: '2026-01-02T03:04:05.679Z' })).not.toEqual([id])
    expect(of({ diffId: digest('below'), parent: [] }, { ...layer, parent: [0] })[1]).not.toBe(id)
  })
})

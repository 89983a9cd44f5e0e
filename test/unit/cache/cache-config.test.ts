import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import type { Digest } from '../../../src/base/digest.ts'
import { sha256 } from '../../../src/base/digest.ts'
import { type CacheConfig, parseCacheConfig, parseInlineRecords } from '../../../src/cache/buildkit/cache-config.ts'
import { ConfigWriter, type WrittenRecord } from '../../../src/cache/buildkit/config-writer.ts'

const corpus = join(import.meta.dirname, '../../corpus/buildkit-cache')
const digest = (text: string) => sha256(text)
const parse = (value: unknown) => parseCacheConfig(Buffer.from(JSON.stringify(value)))

/** The config blob of a cache that docker wrote. */
function recorded(name: string): Buffer {
  const blob = (found: string) => readFileSync(join(corpus, name, 'recorded/cache/blobs/sha256', found.slice(7)))
  const index = JSON.parse(readFileSync(join(corpus, name, 'recorded/cache/index.json'), 'utf8'))
  return blob(JSON.parse(blob(index.manifests[0].digest).toString()).config.digest)
}

function rewrite({ layers, records }: CacheConfig): string {
  const writer = new ConfigWriter()
  const written = new Map<number, WrittenRecord>()
  const add = (position: number): WrittenRecord => {
    const known = written.get(position)
    if (known !== undefined) return known
    const { digest: own, inputs, results } = records[position] as CacheConfig['records'][number]
    const links = inputs.map((input) =>
      input.map(({ link, selector }) => ({ record: add(link), selector: selector === '' ? undefined : (selector as Digest) })),
    )
    const record = writer.add(own, links)
    record.results = results.map(({ chain, createdAt }) => ({
      createdAt,
      chain: chain.map((layer) => ({ blob: layers[layer]?.blob as Digest, created: layers[layer]?.created })),
    }))
    written.set(position, record)
    return record
  }
  for (const position of records.keys()) add(position)
  return writer.config().json
}

test.each(readdirSync(corpus))('%s: written again, a cache of docker is the same to the byte', (name) => {
  const bytes = recorded(name)
  expect(rewrite(parseCacheConfig(bytes))).toBe(bytes.toString())
})

test('a blob that is the layer of two steps keeps the time of each', () => {
  const writer = new ConfigWriter()
  const [blob, base] = [digest('blob'), digest('base')]
  writer.add(digest('one')).results.push({ chain: [{ blob, created: '2026-01-01T00:00:00Z' }], createdAt: '2026-01-01T00:00:00Z' })
  const above = [{ blob: base }, { blob, created: '2026-01-02T00:00:00Z' }]
  writer.add(digest('two')).results.push({ chain: above, createdAt: '2026-01-02T00:00:00Z' })
  const { layers } = parseCacheConfig(Buffer.from(writer.config().json))
  expect(layers.filter((layer) => layer.blob === blob).map(({ created }) => created)).toEqual(
    expect.arrayContaining(['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z']),
  )
})

test('an inline cache has the results whose layers are those at the bottom of the image, and all records', () => {
  const writer = new ConfigWriter()
  const result = (...blobs: string[]) => ({ chain: blobs.map((blob) => ({ blob: digest(blob) })), createdAt: '2026-01-01T00:00:00Z' })
  writer.add(digest('own')).results.push(result('a', 'b'))
  writer.add(digest('other')).results.push(result('a', 'x'))
  const records = parseInlineRecords(Buffer.from(writer.inline([digest('a'), digest('b')])), 2)
  expect(records.map(({ results }) => results.map(({ chain }) => chain))).toEqual(expect.arrayContaining([[[0, 1]], []]))
})

test.each<[string, unknown]>([
  ['no object', []],
  [
    'layers in a circle',
    { layers: [{ blob: digest('a'), parent: 1 }, { blob: digest('b') }], records: [{ digest: digest('r'), layers: [{ layer: 0 }] }] },
  ],
  [
    'records in a circle',
    {
      records: [
        { digest: digest('a'), inputs: [[{ link: 1 }]] },
        { digest: digest('b'), inputs: [[{ link: 0 }]] },
      ],
    },
  ],
  ['a fraction', { layers: [{ blob: digest('a'), parent: 0.5 }] }],
  ['a chain over layers that are not there', { records: [{ digest: digest('a'), chains: [{ layers: [1] }] }] }],
])('%s is refused', (_name, value) => {
  expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'CACHE_INVALID' }))
})

test('a merge names its layers one by one', () => {
  const layers = [
    { blob: digest('a'), parent: -1 },
    { blob: digest('b'), parent: -1 },
  ]
  expect(parse({ layers, records: [{ digest: digest('m'), chains: [{ layers: [0, 1] }] }] }).records[0]?.results[0]?.chain).toEqual([0, 1])
})

test('whatever the bytes are, the only error is CACHE_INVALID', () => {
  const json = fc.jsonValue().map((value) => Buffer.from(JSON.stringify(value)))
  const shaped = fc.record({
    layers: fc.array(
      fc.record({ blob: fc.constantFrom(digest('a'), 'x'), parent: fc.oneof(fc.integer({ min: -2, max: 3 }), fc.constant(null)) }),
    ),
    records: fc.array(
      fc.record({
        digest: fc.constantFrom(digest('r'), digest('s')),
        inputs: fc.array(fc.array(fc.record({ link: fc.integer({ min: 0, max: 4 }) }))),
        layers: fc.array(fc.record({ layer: fc.integer({ min: 0, max: 3 }) })),
      }),
    ),
  })
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        json,
        shaped.map((value) => Buffer.from(JSON.stringify(value))),
      ),
      (bytes) => {
        try {
          parseCacheConfig(bytes)
        } catch (error) {
          expect((error as { code?: string }).code).toBe('CACHE_INVALID')
        }
      },
    ),
  )
})

test('results of one chain share it: a few bytes each do not become hundreds of positions', () => {
  const deep = Array.from({ length: 500 }, (_, at) => ({ blob: digest(`${at}`), parent: at - 1 }))
  const results = Array.from({ length: 20_000 }, () => ({ layer: 499 }))
  const chains = parse({ layers: deep, records: [{ digest: digest('r'), layers: results }] }).records[0]?.results.map(({ chain }) => chain)
  expect(new Set(chains).size).toBe(1)
  const inline = parseInlineRecords(Buffer.from(JSON.stringify([{ digest: digest('r'), layers: results }])), 500)
  expect(new Set(inline[0]?.results.map(({ chain }) => chain)).size).toBe(1)
})

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { DEFAULT_GZIP_LEVEL, gzip } from '../../../src/tar/gzip.ts'
import { chunks, collect } from './items.ts'

const PIECE = 32 * 1024
const pack = (data: Uint8Array, level?: number, chunkSize = 100_000) =>
  collect(gzip(chunks(data, chunkSize), level === undefined ? {} : { level }))
const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')

/** Bytes that look random, the same ones everywhere. */
function noise(length: number, seed = 1): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, index) => createHash('sha256').update(`${seed} ${index}`).digest())
  return Buffer.concat(blocks).subarray(0, length)
}

/** As compressible as source code. */
function text(length: number, seed = 1): Buffer {
  const words = noise(length, seed).map((byte) => byte % 90)
  return Buffer.from(Array.from(words, (word) => `word${word * word} `).join('')).subarray(0, length)
}

const KINDS = { noise, text, zeros: (length: number) => Buffer.alloc(length) }

/** Parts of all kinds, so that pieces are of one, of several, and end anywhere. */
const mixtures = fc
  .array(
    fc.record({
      kind: fc.constantFrom(...(Object.keys(KINDS) as (keyof typeof KINDS)[])),
      length: fc.oneof(fc.integer({ min: 0, max: 3000 }), fc.constantFrom(PIECE - 1, PIECE, 3 * PIECE + 1, 600_000)),
      seed: fc.integer({ min: 1, max: 3 }),
    }),
    { maxLength: 6 },
  )
  .map((parts) => Buffer.concat(parts.map(({ kind, length, seed }) => KINDS[kind](length, seed))))

test('what is packed comes back, at every level, and does not depend on how it is cut', async () => {
  const cases = fc.asyncProperty(
    mixtures,
    fc.integer({ min: 0, max: 9 }),
    fc.integer({ min: 5000, max: 700_000 }),
    async (data, level, size) => {
      const packed = await pack(data, level)
      expect(gunzipSync(packed).equals(data)).toBe(true)
      expect((await pack(data, level, size)).equals(packed)).toBe(true)
    },
  )
  await fc.assert(cases, { numRuns: 40 })
})

/** Of every kind of block and of what is between them: the digests of layers are made of these bytes. */
const INPUTS: Readonly<Record<string, Buffer>> = {
  nothing: Buffer.alloc(0),
  'one byte': Buffer.from('a'),
  mixture: Buffer.concat([
    text(300_001),
    Buffer.alloc(5 * PIECE + 17),
    noise(3 * PIECE),
    text(PIECE, 2),
    noise(9000),
    noise(9000),
    Buffer.alloc(700_000),
    text(200_000, 3),
    noise(PIECE + 1, 2),
  ]),
}

/** To be changed together with GZIP_FORMAT only. */
const PINNED: Readonly<Record<string, readonly string[]>> = {
  nothing: [
    '30e6fa98fb48c2b1',
    '30e6fa98fb48c2b1',
    '30e6fa98fb48c2b1',
    '30e6fa98fb48c2b1',
    '30e6fa98fb48c2b1',
    '30e6fa98fb48c2b1',
    '30e6fa98fb48c2b1',
    '30e6fa98fb48c2b1',
    '30e6fa98fb48c2b1',
    '30e6fa98fb48c2b1',
  ],
  'one byte': [
    'fd646d39015628c6',
    '94992c9e182d4a53',
    '94992c9e182d4a53',
    '94992c9e182d4a53',
    '94992c9e182d4a53',
    '94992c9e182d4a53',
    '94992c9e182d4a53',
    '94992c9e182d4a53',
    '94992c9e182d4a53',
    '94992c9e182d4a53',
  ],
  mixture: [
    '18331bfc9de300d0',
    '4f5c2ed6598c7ac1',
    '678eb7fa521a329e',
    'aecdedaad257dc98',
    'eaad8b92648e64d1',
    '7455ec49bf96fae9',
    'e1fc5b88c3ebdc40',
    '20a12ef58b33b3c9',
    'da6acc71d60ea22b',
    '10572148bc81e537',
  ],
}

describe.each(Object.keys(INPUTS))('the bytes of %s', (name) => {
  test.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])('at level %i', async (level) => {
    const packed = await pack(INPUTS[name] as Buffer, level)
    expect(gunzipSync(packed).equals(INPUTS[name] as Buffer)).toBe(true)
    expect(sha256(packed).slice(0, 16)).toBe(PINNED[name]?.[level])
  })
})

test('a higher level is no larger, and the usual one within a tenth of what zlib makes at 4', async () => {
  const folder = join(import.meta.dirname, '../../../src')
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  const source = Buffer.concat(names.sort().map((name) => readFileSync(join(folder, name))))
  const sizes: number[] = []
  for (let level = 0; level <= 9; level += 1) sizes.push((await pack(source, level)).length)
  expect(sizes).toEqual([...sizes].sort((a, b) => b - a))
  expect(sizes[DEFAULT_GZIP_LEVEL]).toBeLessThan(gzipSync(source, { level: 4 }).length * 1.1)
})

describe('what does not compress', () => {
  test('is stored, and costs 5 bytes for 64 KiB', async () => {
    const data = noise(2_000_000)
    const packed = await pack(data)
    expect(packed.length - data.length).toBeLessThan(250)
    expect(packed.includes(data.subarray(1_000_000, 1_030_000))).toBe(true)
  })

  test('is compressed where it is there twice', async () => {
    expect((await pack(Buffer.concat(Array.from({ length: 50 }, () => noise(20_000))))).length).toBeLessThan(100_000)
  })

  test('does not keep what is beside it from being compressed', async () => {
    const data = Buffer.concat([noise(5 * PIECE), text(5 * PIECE), noise(5 * PIECE, 2)])
    expect((await pack(data)).length).toBeLessThan(10.5 * PIECE + (await pack(text(5 * PIECE))).length)
  })

  test('zeros are a quarter of a byte for 258', async () => {
    expect((await pack(Buffer.alloc(10_000_000))).length).toBeLessThan(13_000)
  })
})

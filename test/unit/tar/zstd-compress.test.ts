import { execFileSync } from 'node:child_process'
import { createCipheriv, createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { decompress } from '../../../src/tar/decompress.ts'
import { zstd } from '../../../src/tar/zstd-compress.ts'
import { chunks, collect } from './items.ts'

const PIECE = 3584 * 1024
const pack = (data: Uint8Array, level?: number, chunkSize = 100_000) =>
  collect(zstd(chunks(data, chunkSize), level === undefined ? {} : { level }))
const unpack = (packed: Uint8Array) => collect(decompress(chunks(packed), 'zstd'))
const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')

/** Bytes that look random, the same ones everywhere. */
const noise = (length: number, seed = 1) =>
  createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16)).update(Buffer.alloc(length))

const WORDS = Array.from({ length: 90 }, (_, index) => `word${index * index} `)

/** As compressible as source code. */
function text(length: number, seed = 1): Buffer {
  const words = Array.from(noise(Math.ceil(length / 6), seed), (byte) => WORDS[byte % 90])
  return Buffer.from(words.join('')).subarray(0, length)
}

const INPUTS: Readonly<Record<string, Buffer>> = {
  nothing: Buffer.alloc(0),
  'one byte': Buffer.from('a'),
  'one piece': Buffer.concat([text(300_001), Buffer.alloc(200_000), noise(100_000)]),
  // The last piece begins with what the one before ended with.
  'several pieces': Buffer.concat([text(PIECE - 300_000), noise(400_000), Buffer.alloc(PIECE - 200_000), noise(400_000), text(70_000)]),
}

/** Those between are of the same kinds. */
const LEVELS = [0, 1, 3, 5, 7, 13, 17, 19, 22]

/** To be changed together with ZSTD_FORMAT only: the digests of layers are made of these bytes. */
const PINNED: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  nothing: {
    0: 'f96deff1816083fd',
    1: 'f96deff1816083fd',
    3: 'f96deff1816083fd',
    5: 'f96deff1816083fd',
    7: 'f96deff1816083fd',
    13: 'f96deff1816083fd',
    17: 'f96deff1816083fd',
    19: 'f96deff1816083fd',
    22: 'f96deff1816083fd',
  },
  'one byte': {
    0: '766149b3890999b5',
    1: '766149b3890999b5',
    3: '766149b3890999b5',
    5: '766149b3890999b5',
    7: '766149b3890999b5',
    13: '766149b3890999b5',
    17: '766149b3890999b5',
    19: '766149b3890999b5',
    22: '766149b3890999b5',
  },
  'one piece': {
    0: '1d068f2d0aa538cf',
    1: '6f290c17c17c6a89',
    3: '1d068f2d0aa538cf',
    5: 'a15453e6b275f063',
    7: 'ec7ebb466440363c',
    13: 'd7e076f350fe95eb',
    17: '1a0e6f8800677607',
    19: '1beb2c4125d56d39',
    22: '1beb2c4125d56d39',
  },
  'several pieces': {
    0: '982820ec6bf35258',
    1: 'bd6b97e784feb284',
    3: '982820ec6bf35258',
    5: '2bb2c8bb999bb4b9',
  },
}

describe.each(Object.keys(INPUTS))('the bytes of %s', (name) => {
  const data = INPUTS[name] as Buffer
  test.each(LEVELS.filter((level) => level < 6 || data.length < PIECE))(
    'at level %i',
    async (level) => {
      const packed = await pack(data, level)
      expect((await unpack(packed)).equals(data)).toBe(true)
      expect(execFileSync('zstd', ['-dcq'], { input: packed, maxBuffer: 1 << 26 }).equals(data)).toBe(true)
      expect(sha256(packed).slice(0, 16)).toBe(PINNED[name]?.[level])
    },
    60_000,
  )
})

test('what is packed comes back as one frame, and does not depend on how it is cut or what else is packed', async () => {
  const mixtures = fc
    .array(
      fc.record({
        kind: fc.constantFrom(noise, text, (length: number) => Buffer.alloc(length)),
        length: fc.oneof(fc.nat(3000), fc.constantFrom(600_000, PIECE)),
        seed: fc.integer({ min: 1, max: 3 }),
      }),
      { maxLength: 3 },
    )
    .map((parts) => Buffer.concat(parts.map(({ kind, length, seed }) => kind(length, seed))))
  const cases = fc.asyncProperty(
    mixtures,
    fc.integer({ min: 0, max: 6 }),
    fc.integer({ min: 5000, max: 5_000_000 }),
    async (data, level, size) => {
      const [packed, again] = await Promise.all([pack(data, level), pack(data, level, size)])
      expect((await unpack(packed)).equals(data)).toBe(true)
      expect(again.equals(packed)).toBe(true)
      let frames = 0
      const enough = () => {
        frames += 1
        return false
      }
      await collect(decompress(chunks(packed), 'zstd', { errorsLast: true, enough }))
      expect(frames).toBe(1)
    },
  )
  await fc.assert(cases, { numRuns: 4 })
}, 60_000)

test('cutting costs next to nothing', async () => {
  const data = text(2 * PIECE)
  const whole = execFileSync('zstd', ['-3', '-cq'], { input: data, maxBuffer: 1 << 26 }).length
  expect((await pack(data)).length).toBeLessThan(whole * 1.01)
})

test('a higher level is no larger', async () => {
  const folder = join(import.meta.dirname, '../../../src')
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  const source = Buffer.concat(names.sort().map((name) => readFileSync(join(folder, name))))
  const sizes: number[] = []
  for (const level of [1, 3, 6, 12]) sizes.push((await pack(source, level)).length)
  expect(sizes).toEqual([...sizes].sort((a, b) => b - a))
})

test('who stops reading stops the work, and an error of the source passes', async () => {
  let given = 0
  async function* endless() {
    for (;;) {
      given += 1
      yield noise(PIECE, given)
    }
  }
  for await (const _ of zstd(endless())) break
  expect(given).toBeLessThan(10)
  async function* broken() {
    yield text(100)
    throw new Error('disk')
  }
  await expect(collect(zstd(broken()))).rejects.toThrow('disk')
})

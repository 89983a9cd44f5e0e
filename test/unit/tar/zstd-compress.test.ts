import { randomBytes } from 'node:crypto'
import * as zlib from 'node:zlib'
import { expect, test } from '@jest/globals'
import { decompress } from '../../../src/tar/decompress.ts'
import { assertZstd, zstd } from '../../../src/tar/zstd-compress.ts'
import { chunks, collect } from './items.ts'

const words = Array.from(randomBytes(200_000), (byte) => `word${byte & 63} `).join('')
const sample = Buffer.concat([Buffer.from(words), randomBytes(300_001)])

if ('createZstdCompress' in zlib) {
  test('zstd: the same bytes however the input is cut, and back', async () => {
    const packed = await collect(zstd(chunks(sample, 1000)))
    expect((await collect(zstd(chunks(sample, sample.length)))).equals(packed)).toBe(true)
    expect((await collect(zstd(chunks(sample, 70_001)))).equals(packed)).toBe(true)
    expect((await collect(decompress(chunks(packed, 5000), 'zstd'))).equals(sample)).toBe(true)
  })

  test('zstd: a level, and nothing', async () => {
    const fast = await collect(zstd(chunks(sample, 50_000), { level: 1 }))
    const small = await collect(zstd(chunks(sample, 50_000), { level: 19 }))
    expect(small.length).toBeLessThan(fast.length)
    expect(await collect(decompress(zstd(chunks(Buffer.alloc(0), 1)), 'zstd'))).toHaveLength(0)
  })
} else {
  test('zstd: refused by a Node that has none', () => {
    expect(assertZstd).toThrow(expect.objectContaining({ code: 'ZSTD_UNAVAILABLE' }))
    expect(() => zstd(chunks(sample, 1000))).toThrow(expect.objectContaining({ code: 'ZSTD_UNAVAILABLE' }))
  })
}

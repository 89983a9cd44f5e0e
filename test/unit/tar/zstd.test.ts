import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { decompress } from '../../../src/tar/decompress.ts'
import { Xxh64 } from '../../../src/tar/xxh64.ts'
import { chunks, collect } from './items.ts'

const xxh64 = (...parts: Uint8Array[]): bigint => {
  const hash = new Xxh64()
  for (const part of parts) hash.update(part)
  return hash.digest()
}

// xxhash's own and Wikipedia's.
test.each([
  ['', 0xef46db3751d8e999n],
  ['a', 0xd24ec4f1a98c6e5bn],
  ['abc', 0x44bc2cf5ad770999n],
  ['Nobody inspects the spammish repetition', 0xfbcea83c8a378bf1n],
])('XXH64 of %j', (text, digest) => expect(xxh64(Buffer.from(text))).toBe(digest))

const zstd = (data: Uint8Array, ...args: string[]) => execFileSync('zstd', ['-cq', ...args], { input: data, maxBuffer: 1 << 28 })
const unpacked = (packed: Uint8Array, size?: number, errorsLast = false) =>
  collect(decompress(chunks(packed, size), 'zstd', { errorsLast }))

test('property: the end of a frame of the zstd command is the low half of XXH64, however the content is cut', () => {
  const content = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.nat(200_000).map((size) => randomBytes(size)),
  )
  fc.assert(
    fc.property(content, fc.array(fc.nat(200_000), { maxLength: 5 }), (data, places) => {
      const cuts = [0, ...places.filter((at) => at <= data.length).sort((a, b) => a - b), data.length]
      const parts = cuts.slice(1).map((at, index) => data.subarray(cuts[index], at))
      expect(BigInt.asUintN(32, xxh64(...parts))).toBe(BigInt(zstd(data, '--check').subarray(-4).readUInt32LE(0)))
    }),
    { numRuns: 25 },
  )
})

describe.each([false, true])('errors last: %s', (errorsLast) => {
  // Of 18 bytes and less fzstd makes a case of its own; 300000 bytes are three blocks.
  test.each([0, 1, 12, 5000, 300_000])('a frame of %d bytes whose checksum or size is another is refused', async (size) => {
    const data = Buffer.from(randomBytes(size).map((byte) => byte & 15))
    const packed = zstd(data, '--check')
    expect((await unpacked(packed, 1000, errorsLast)).equals(data)).toBe(true)
    expect((await unpacked(zstd(data, '--no-check'), 1000, errorsLast)).equals(data)).toBe(true)
    for (let back = 1; back <= 4; back += 1) {
      const wrong = Buffer.from(packed)
      wrong[wrong.length - back] = (wrong.at(-back) as number) ^ 1
      await expect(unpacked(wrong, 1000, errorsLast)).rejects.toMatchObject({ code: 'DECOMPRESS_FAILED' })
    }
  })

  test('a frame without a checksum that tells another size, and a raw block that was changed', async () => {
    // RFC 8878: a segment of one raw block.
    const frame = (size: number, text: string, more = '') =>
      Buffer.concat([
        Buffer.from([0x28, 0xb5, 0x2f, 0xfd, more === '' ? 0x20 : 0x24, size, 1 + (text.length << 3), 0, 0]),
        Buffer.from(text),
        Buffer.from(more, 'hex'),
      ])
    const check = Buffer.alloc(4)
    check.writeUInt32LE(Number(BigInt.asUintN(32, xxh64(Buffer.from('hello zstd, this is longer')))))
    const text = 'hello zstd, this is longer'
    expect(String(await unpacked(frame(text.length, text), 5, errorsLast))).toBe(text)
    expect(String(await unpacked(frame(text.length, text, check.toString('hex')), 5, errorsLast))).toBe(text)
    for (const wrong of [frame(text.length + 1, text), frame(text.length, text.replace('this', 'that'), check.toString('hex'))])
      await expect(unpacked(wrong, 5, errorsLast)).rejects.toMatchObject({ code: 'DECOMPRESS_FAILED' })
  })
})

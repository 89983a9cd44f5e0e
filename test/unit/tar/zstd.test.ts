import { execFileSync } from 'node:child_process'
import { createCipheriv } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { decompress } from '../../../src/tar/decompress.ts'
import { chunks, collect } from './items.ts'

const zstd = (data: Uint8Array, ...args: string[]) => execFileSync('zstd', ['-cq', ...args], { input: data, maxBuffer: 1 << 28 })
const unpacked = (packed: Uint8Array, size?: number, errorsLast = false) =>
  collect(decompress(chunks(packed, size), 'zstd', { errorsLast }))

/** What came out before the error, and the error's code. */
async function until(packed: Uint8Array, size: number, errorsLast: boolean): Promise<{ code?: string; data: Buffer }> {
  const parts: Uint8Array[] = []
  try {
    for await (const part of decompress(chunks(packed, size), 'zstd', { errorsLast })) parts.push(part)
    return { data: Buffer.concat(parts) }
  } catch (error) {
    return { code: (error as { code: string }).code, data: Buffer.concat(parts) }
  }
}

const noise = (size: number) => createCipheriv('aes-128-ctr', Buffer.alloc(16, 1), Buffer.alloc(16)).update(Buffer.alloc(size))
const text = (size: number) => Buffer.from(noise(size).map((byte) => byte & 15))

const skippable = (size: number) => {
  const frame = Buffer.alloc(8 + size, 7)
  frame.writeUInt32LE(0x184d2a53, 0)
  frame.writeUInt32LE(size, 4)
  return frame
}

/** Frames of every kind that the command makes, and skippable ones; and what is in them. */
const streams = fc
  .array(
    fc.oneof(
      fc.nat(9000).map((size) => ({ data: Buffer.alloc(0), packed: skippable(size) })),
      fc
        .record({
          data: fc.oneof(
            fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
            fc.nat(400_000).map(noise),
            fc.nat(400_000).map(text),
            fc.nat(3_000_000).map((size) => Buffer.alloc(size)),
          ),
          args: fc.subarray(['--check', '-1', '--no-content-size', '--long=27']),
        })
        .map(({ data, args }) => ({ data, packed: zstd(data, ...args) })),
    ),
    { maxLength: 4 },
  )
  .map((frames) => ({
    data: Buffer.concat(frames.map(({ data }) => data)),
    packed: Buffer.concat(frames.map(({ packed }) => packed)),
  }))

describe.each([false, true])('errors last: %s', (errorsLast) => {
  test('property: what the command packs comes back, however it is cut', async () => {
    const cases = fc.asyncProperty(streams, fc.integer({ min: 1, max: 300_000 }), async ({ data, packed }, size) => {
      const cut = Math.max(size, Math.ceil(packed.length / 5000))
      expect((await unpacked(packed, cut, errorsLast)).equals(data)).toBe(true)
    })
    await fc.assert(cases, { numRuns: 10 })
  })

  test('property: what is cut off is refused, with all whole blocks before it', async () => {
    const cases = fc.asyncProperty(streams, fc.nat(), fc.integer({ min: 500, max: 300_000 }), async ({ data, packed }, at, size) => {
      const { code, data: found } = await until(packed.subarray(0, at % (packed.length + 1)), size, errorsLast)
      expect(data.subarray(0, found.length).equals(found)).toBe(true)
      // Where a frame ends, all is well.
      if (code !== undefined) expect(code).toBe('DECOMPRESS_FAILED')
    })
    await fc.assert(cases, { numRuns: 10 })
    const { code, data } = await until(zstd(noise(1_000_000), '--no-check').subarray(0, -1), 50_000, errorsLast)
    expect([code, data.length]).toEqual(['DECOMPRESS_FAILED', 7 * 128 * 1024])
  })

  test('property: a byte that was changed changes nothing but by an error, where there is a checksum', async () => {
    const packed = zstd(Buffer.concat([text(200_000), noise(150_000)]), '--check')
    const data = await unpacked(packed)
    const cases = fc.asyncProperty(fc.nat(packed.length - 1), fc.integer({ min: 1, max: 255 }), async (at, bits) => {
      const wrong = Buffer.from(packed)
      wrong[at] = (wrong[at] as number) ^ bits
      const found = await until(wrong, 40_000, errorsLast)
      if (found.code === undefined) expect(found.data.equals(data) || found.data.length === 0).toBe(true)
      else expect(['DECOMPRESS_FAILED', 'TAR_LIMIT']).toContain(found.code)
    })
    await fc.assert(cases, { numRuns: 60 })
  })

  // 300000 bytes are three blocks.
  test.each([0, 1, 12, 5000, 300_000])('a frame of %d bytes whose checksum or size is another is refused', async (size) => {
    const data = Buffer.from(noise(size).map((byte) => byte & 15))
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
    // The low half of XXH64 of the text.
    const check = 'c8085187'
    const text = 'hello zstd, this is longer'
    expect(String(await unpacked(frame(text.length, text), 5, errorsLast))).toBe(text)
    expect(String(await unpacked(frame(text.length, text, check), 5, errorsLast))).toBe(text)
    for (const wrong of [frame(text.length + 1, text), frame(text.length, text.replace('this', 'that'), check)])
      await expect(unpacked(wrong, 5, errorsLast)).rejects.toMatchObject({ code: 'DECOMPRESS_FAILED' })
  })

  test('many thousand small frames, and frames that hold nothing', async () => {
    const small = Array.from({ length: 40 }, (_, index) => zstd(Buffer.from(`file ${index}`)))
    const stream = Buffer.concat([...small, ...Array.from({ length: 3000 }, () => zstd0), ...small])
    const whole = Array.from({ length: 40 }, (_, index) => `file ${index}`).join('')
    expect(String(await unpacked(stream, 4096, errorsLast))).toBe(whole + whole)
  })

  test('a frame that makes more than its header tells is refused', async () => {
    // A window of 1 MiB, a content of 1 byte, and blocks that repeat a byte 100000 times.
    const block = (last: number) => {
      const bytes = Buffer.alloc(4, 0x61)
      bytes.writeUIntLE(last | (1 << 1) | (100_000 << 3), 0, 3)
      return bytes
    }
    const bomb = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x50, 1, 0, 0, 0]), block(0), block(0), block(0), block(1)])
    const { code, data } = await until(bomb, 1000, errorsLast)
    expect(code).toBe('DECOMPRESS_FAILED')
    expect(data.length).toBeLessThan(400_000)
  })
})

/** An empty frame. */
const zstd0 = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0])

test('a bomb is stopped where its limit is, by what one call decodes', async () => {
  const bomb = zstd(Buffer.alloc(60_000_000), '--check')
  let size = 0
  const reading = async () => {
    for await (const part of decompress(chunks(bomb), 'zstd', { maxBytes: 10_000_000 })) size += part.length
  }
  await expect(reading()).rejects.toMatchObject({ code: 'TAR_LIMIT' })
  expect(size).toBeLessThanOrEqual(10_000_000)
})

test('a window of 128 MiB is read, a larger one, and one of a single segment, refused before it is allocated', async () => {
  const before = process.memoryUsage().rss
  const header = (window: number) => Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, window, 1, 0, 0])
  expect(await unpacked(header(17 << 3))).toHaveLength(0)
  const single = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0])
  for (const large of [header((17 << 3) | 1), header(21 << 3), header(0xff), single])
    await expect(unpacked(large)).rejects.toMatchObject({ code: 'TAR_LIMIT' })
  expect(process.memoryUsage().rss - before).toBeLessThan(200_000_000)
})

test('a frame that needs a dictionary, and one of an older format, are refused', async () => {
  for (const wrong of [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x21, 5, 0, 1, 0, 0]), Buffer.from([0x27, 0xb5, 0x2f, 0xfd, 0, 0, 1, 0, 0])])
    await expect(unpacked(wrong)).rejects.toMatchObject({ code: 'DECOMPRESS_FAILED' })
})

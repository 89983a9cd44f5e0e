import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import { detectCompression, isTarArchive } from '../../../src/tar/compression.ts'
import { decompress } from '../../../src/tar/decompress.ts'
import { gzip } from '../../../src/tar/gzip.ts'
import type { Compression } from '../../../src/tar/types.ts'
import { chunks, collect, file, write } from './items.ts'

/** Compressible, and longer than several blocks of every format. */
const sample = Buffer.concat(
  Array.from({ length: 60 }, (_, index) => Buffer.concat([Buffer.alloc(40_000, `line ${index}\n`), randomBytes(5000)])),
)

const COMMANDS: Readonly<Record<Exclude<Compression, 'none'>, string[]>> = {
  gzip: ['gzip', '-c'],
  bzip2: ['bzip2', '-c', '-1'],
  xz: ['xz', '-c', '-T2', '--block-size=500KiB'],
  zstd: ['zstd', '-c', '-q'],
}

const compress = (kind: Exclude<Compression, 'none'>, data: Buffer) => {
  const [command, ...args] = COMMANDS[kind] as [string, ...string[]]
  return execFileSync(command, args, { input: data, maxBuffer: 1 << 28 })
}

describe.each(Object.keys(COMMANDS) as Exclude<Compression, 'none'>[])('%s', (kind) => {
  const packed = compress(kind, sample)

  test('is told by its magic and decoded, whatever the sizes of the chunks', async () => {
    expect(detectCompression(packed.subarray(0, 6))).toBe(kind)
    for (const size of [1000, 70_001, packed.length])
      expect((await collect(decompress(chunks(packed, size), kind))).equals(sample)).toBe(true)
  })

  test('several members or frames one after the other are one stream', async () => {
    const twice = Buffer.concat([packed, compress(kind, Buffer.from('tail'))])
    expect((await collect(decompress(chunks(twice, 60_000), kind))).equals(Buffer.concat([sample, Buffer.from('tail')]))).toBe(true)
  })

  test('cut short or altered is DECOMPRESS_FAILED', async () => {
    for (const cut of [packed.length - 1, packed.length >> 1, 9]) {
      await expect(collect(decompress(chunks(packed.subarray(0, cut)), kind))).rejects.toMatchObject({ code: 'DECOMPRESS_FAILED' })
    }
    await expect(collect(decompress(chunks(Buffer.concat([packed, Buffer.from('garbage!')])), kind))).rejects.toMatchObject({
      code: 'DECOMPRESS_FAILED',
    })
  })

  test('CVE-2017-14992: a bomb stops at the budget', async () => {
    const bomb = compress(kind, Buffer.alloc(50_000_000))
    await expect(collect(decompress(chunks(bomb), kind, { maxBytes: 1_000_000 }))).rejects.toMatchObject({ code: 'TAR_LIMIT' })
  })

  test('an error of the source comes out as it is', async () => {
    const broken = async function* () {
      yield packed.subarray(0, 5000)
      throw Object.assign(new Error('wrong digest'), { code: 'BLOB_CORRUPT', name: 'TbuildError' })
    }
    await expect(collect(decompress(broken(), kind))).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
  })

  test('stopping early closes the source', async () => {
    let closed = false
    const source = async function* () {
      try {
        for (;;) yield packed
      } finally {
        closed = true
      }
    }
    for await (const _ of decompress(source(), kind)) break
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(closed).toBe(true)
  })

  test('F26 an archive is one whatever its name; a compressed file that is no tar is not', async () => {
    const archive = await write([file('a', 'x')])
    expect(await isTarArchive(chunks(compress(kind, archive)))).toBe(true)
    expect(await isTarArchive(chunks(packed))).toBe(false)
    expect(await isTarArchive(chunks(packed.subarray(0, 8)))).toBe(false)
    expect(await isTarArchive(chunks(compress(kind, Buffer.alloc(0))))).toBe(false)
  })
})

test('F26 a plain tar is an archive; text, nothing and zeros are not', async () => {
  expect(await isTarArchive(chunks(await write([file('a', 'x')])))).toBe(true)
  for (const other of [Buffer.from('text'), Buffer.alloc(0), Buffer.alloc(10240), randomBytes(2048)])
    expect(await isTarArchive(chunks(other))).toBe(false)
})

test('xz: a dictionary of more than 64 MiB is refused', async () => {
  const big = execFileSync('xz', ['-c', '--lzma2=dict=256MiB,mode=fast'], { input: 'x' })
  await expect(collect(decompress(chunks(big), 'xz'))).rejects.toMatchObject({ code: 'TAR_LIMIT' })
})

test('zstd: a window of 2 GiB is refused before it is allocated', async () => {
  const frame = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00])
  await expect(collect(decompress(chunks(frame), 'zstd'))).rejects.toMatchObject({ code: 'TAR_LIMIT' })
})

test('CVE-2022-30631: a hundred thousand empty gzip members need no stack', async () => {
  const empty = gzipSync('')
  const many = Buffer.concat([...Array.from({ length: 100_000 }, () => empty), gzipSync('end')])
  expect((await collect(decompress(chunks(many), 'gzip'))).toString()).toBe('end')
})

test('the signal stops a decoder', async () => {
  const endless = async function* () {
    for (;;) yield gzipSync(Buffer.alloc(100_000))
  }
  const { signal } = Object.assign(new AbortController())
  await expect(
    collect(decompress(endless(), 'gzip', { signal: AbortSignal.any([signal, AbortSignal.timeout(50)]) })),
  ).rejects.toMatchObject({ name: 'TimeoutError' })
})

describe('gzip writer', () => {
  const pack = (data: Buffer, chunkSize: number, level?: number) =>
    collect(gzip(chunks(data, chunkSize), level === undefined ? {} : { level }))

  test('zlib, gzip and pigz-like readers read it back: empty, one byte, a whole block, many blocks', async () => {
    for (const size of [0, 1, 512 * 1024 - 1, 512 * 1024, 512 * 1024 + 1, sample.length]) {
      const data = sample.subarray(0, size)
      const packed = await pack(data, 100_000)
      expect(gunzipSync(packed).equals(data)).toBe(true)
      expect(execFileSync('gzip', ['-dc'], { input: packed, maxBuffer: 1 << 28 }).equals(data)).toBe(true)
    }
  })

  test('the bytes depend on the input and the level only', async () => {
    const digest = async (chunkSize: number, level?: number) =>
      createHash('sha256')
        .update(await pack(sample, chunkSize, level))
        .digest('hex')
    const first = await digest(7777)
    expect(await digest(1_000_000)).toBe(first)
    expect(await digest(65_536, 9)).not.toBe(first)
    expect(await Promise.all(Array.from({ length: 30 }, () => digest(65_536)))).toEqual(Array(30).fill(first))
  })

  test('streams that nobody reads on keep no room from others', async () => {
    const waiting = Array.from({ length: 4 }, () => gzip(chunks(Buffer.alloc(8 * 1024 * 1024), 100_000)))
    for (const stream of waiting) for (let pieces = 0; pieces < 2; pieces += 1) await stream.next()
    const one = await pack(sample, 65_536)
    for (const stream of waiting) await stream.return()
    expect((await pack(sample, 65_536)).equals(one)).toBe(true)
  })

  test('it is within ten percent of gzip -6', async () => {
    const text = Buffer.from(Array.from({ length: 200_000 }, (_, index) => `${(index * 2654435761) % 4294967296} lorem ipsum\n`).join(''))
    expect((await pack(text, 65_536)).length).toBeLessThan(gzipSync(text, { level: 6 }).length * 1.1)
  })

  test('a failing source fails the stream', async () => {
    const broken = async function* () {
      yield sample
      throw new Error('read error')
    }
    await expect(collect(gzip(broken()))).rejects.toThrow('read error')
  })
})

import { execFileSync } from 'node:child_process'
import { createCipheriv, createHash, randomBytes } from 'node:crypto'
import * as zlib from 'node:zlib'
import fc from 'fast-check'
import { isTarArchive } from '../../../src/tar/compression.ts'
import { decompress } from '../../../src/tar/decompress.ts'
import { readTar } from '../../../src/tar/read.ts'
import { readArchive } from '../../../src/tar/read-archive.ts'
import { chunks, collect, END, file, rawMember, read, type Whole, write } from './items.ts'

type Kind = 'none' | 'gzip' | 'bzip2' | 'xz' | 'zstd'
const PACKED: readonly Exclude<Kind, 'none'>[] = ['gzip', 'bzip2', 'xz', 'zstd']

const pack = (kind: Kind, data: Uint8Array): Buffer =>
  kind === 'none'
    ? Buffer.from(data)
    : execFileSync(kind, ['-c', '-q'].slice(0, kind === 'zstd' ? 2 : 1), { input: data, maxBuffer: 1 << 28 })

const { constants, crc32, deflateRawSync, gzipSync } = zlib

/** As ADD reads it. */
async function added(archive: Uint8Array, chunkSize?: number): Promise<Whole[]> {
  const found: Whole[] = []
  for await (const { entry, content } of readArchive(chunks(archive, chunkSize))) found.push({ entry, data: await collect(content) })
  return found
}

const names = (items: readonly Whole[]) => items.map(({ entry }) => String(entry.name))
const digests = (items: readonly Whole[]) =>
  items.map(({ entry, data }) => ({ entry, data: createHash('sha256').update(data).digest('hex') }))
const flipped = (bytes: Buffer, at: number) => {
  const other = Buffer.from(bytes)
  other[at < 0 ? other.length + at : at] = (other.at(at) as number) ^ 0x80
  return other
}

/** Incompressible, and the same again for the same seed. */
const noise = fc
  .tuple(fc.nat(300_000), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map(([size, seed]) => createCipheriv('aes-128-ctr', seed, Buffer.alloc(16)).update(Buffer.alloc(size)))
const contents = fc.oneof(
  fc.uint8Array({ maxLength: 1500 }).map((data) => Buffer.from(data)),
  noise,
  fc.nat(300_000).map((size) => Buffer.alloc(size, 'compressible ')),
)
const garbage = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((data) => Buffer.from(data)),
  noise,
  fc.nat(3000).map((size) => Buffer.alloc(size)),
  fc.constantFrom(...PACKED.map((kind) => pack(kind, Buffer.from('another')).subarray(0, 12))),
)

describe.each(['none', ...PACKED] as const)('%s', (kind) => {
  test('F26 whatever stands behind the archive, the members are the same', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(contents, { minLength: 1, maxLength: 4 }),
        garbage,
        fc.integer({ min: 300, max: 100_000 }),
        async (files, behind, size) => {
          const archive = await write(files.map((data, index) => file(`f${index}`, data)))
          const all = Buffer.concat([pack(kind, archive), behind])
          expect(await isTarArchive(chunks(all, size))).toBe(true)
          expect(digests(await added(all, size))).toEqual(digests(await read(archive)))
        },
      ),
      { numRuns: 12 },
    )
  })
})

describe.each(PACKED)('%s', (kind) => {
  const members = Buffer.concat([rawMember({ name: 'a' }, 'one'), rawMember({ name: 'b' }, randomBytes(3000).toString('hex'))])
  const whole = Buffer.concat([members, END])

  test('F26 what is cut off or wrong behind the end of the archive, but in its member, is refused', async () => {
    const long = pack(kind, Buffer.concat([whole, randomBytes(kind === 'bzip2' ? 1_200_000 : 300_000)]))
    const short = pack(kind, whole)
    const before = pack(kind, whole.subarray(0, 600))
    const broken = [...[1, 9, 150_000].map((cut) => long.subarray(0, -cut)), flipped(long, -1), flipped(long, -150_000)]
    for (const missing of kind === 'zstd' ? [1, 4] : [1, 4, 7])
      broken.push(short.subarray(0, -missing), Buffer.concat([before, pack(kind, whole.subarray(600)).subarray(0, -missing)]))
    for (const [index, bytes] of broken.entries())
      for (const size of [1000, 65_536]) {
        expect([index, await isTarArchive(chunks(bytes, size))]).toEqual([index, true])
        await expect(added(bytes, size)).rejects.toMatchObject({ code: 'DECOMPRESS_FAILED' })
      }
  })

  test('F26 a member behind that in which the archive ends is not looked at, whatever is wrong with it', async () => {
    const other = pack(kind, randomBytes(300_000))
    for (const behind of [other.subarray(0, -1), other.subarray(0, 1000), flipped(other, -1), flipped(other, 3)])
      for (const size of [1000, 65_536]) expect(names(await added(Buffer.concat([pack(kind, whole), behind]), size))).toEqual(['a', 'b'])
  })

  test('F26 what the member goes on with counts, and ends with the signal', async () => {
    const long = pack(kind, Buffer.concat([whole, Buffer.alloc(3_000_000)]))
    const all = async (bytes: AsyncIterable<Uint8Array>, limits: Parameters<typeof readArchive>[1]) => {
      for await (const _ of readArchive(bytes, limits));
    }
    await all(chunks(long), { maxBytes: 4_000_000 })
    await expect(all(chunks(long), { maxBytes: 2_000_000 })).rejects.toMatchObject({ code: 'TAR_LIMIT' })
    const stop = new AbortController()
    async function* stopping() {
      yield long.subarray(0, -20)
      stop.abort(new Error('enough'))
      yield long.subarray(-20)
    }
    await expect(all(stopping(), { signal: stop.signal })).rejects.toThrow('enough')
  })

  test('F26 an error before the end stays one, and what it stands in is an archive', async () => {
    const open = pack(kind, members)
    const halves = [pack(kind, whole.subarray(0, 2000)), pack(kind, whole.subarray(2000))] as const
    const broken = [
      ['garbage instead of the end', Buffer.concat([open, Buffer.from('garbage-garbage')])],
      ['garbage between', Buffer.concat([halves[0], Buffer.from('garbage-garbage'), halves[1]])],
      ['a member cut short', Buffer.concat([halves[0].subarray(0, -9), halves[1]])],
      ['the second cut short', Buffer.concat([halves[0], halves[1].subarray(0, 200)])],
    ] as const
    for (const [what, bytes] of broken) {
      if (what !== 'a member cut short') expect([what, await isTarArchive(chunks(bytes))]).toEqual([what, true])
      // A block comes before the checksum: what is made of a wrong one is no tar.
      await expect(added(bytes)).rejects.toMatchObject({ code: expect.stringMatching(/^(DECOMPRESS_FAILED|TAR_CORRUPT)$/) })
    }
  })

  test('a layer is still read to its end: the same garbage is an error', async () => {
    const layer = async (bytes: Uint8Array) => {
      for await (const { content } of readTar(decompress(chunks(bytes), kind))) await collect(content)
    }
    await layer(pack(kind, whole))
    for (const bytes of [Buffer.concat([pack(kind, whole), Buffer.from('garbage-garbage')]), pack(kind, whole).subarray(0, -1)])
      await expect(layer(bytes)).rejects.toMatchObject({ code: 'DECOMPRESS_FAILED' })
  })

  test('stopping at the end closes the source, and reads little more of it', async () => {
    let closed = false
    let given = 0
    async function* source() {
      try {
        for (yield pack(kind, whole); given < 1000; given += 1) yield randomBytes(64 * 1024)
      } finally {
        closed = true
      }
    }
    for await (const _ of readArchive(source()));
    await new Promise((resolve) => setTimeout(resolve, 20))
    // bzip2 has to have a whole block at hand.
    expect({ closed, little: given < 60 }).toEqual({ closed: true, little: true })
  })

  test('errors last: the limit, the signal and errors of the source are as ever', async () => {
    const bomb = pack(kind, Buffer.alloc(20_000_000))
    const limited = decompress(chunks(bomb), kind, { maxBytes: 1_000_000, errorsLast: true })
    await expect(collect(limited)).rejects.toMatchObject({ code: 'TAR_LIMIT' })
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(collect(decompress(chunks(bomb), kind, { signal, errorsLast: true }))).rejects.toThrow('enough')
    async function* broken() {
      yield bomb.subarray(0, 15)
      throw Object.assign(new Error('disk'), { code: 'EIO' })
    }
    await expect(collect(decompress(broken(), kind, { errorsLast: true }))).rejects.toMatchObject({ code: 'EIO' })
  })
})

describe('F26 a checksum is compared', () => {
  const text = randomBytes(2000).toString('hex')
  const members = Buffer.concat([rawMember({ name: 'a' }, 'one'), rawMember({ name: 'b' }, text)])
  test.each([
    ['gzip', 'its checksum', -6],
    ['gzip', 'its length', -1],
    ['bzip2', "the block's", 10],
    ['bzip2', "the stream's", -3],
    ['xz', "the block's", -28],
    ['zstd', "the frame's", -1],
  ] as const)('%s, %s', async (kind, _, at) => {
    await expect(added(flipped(pack(kind, Buffer.concat([members, END])), at))).rejects.toMatchObject({ code: 'DECOMPRESS_FAILED' })
    await expect(added(flipped(pack(kind, members), at))).rejects.toMatchObject({ code: 'DECOMPRESS_FAILED' })
    const halves = [flipped(pack(kind, members.subarray(0, 2000)), at), pack(kind, Buffer.concat([members.subarray(2000), END]))]
    await expect(added(Buffer.concat(halves))).rejects.toMatchObject({ code: 'DECOMPRESS_FAILED' })
  })
})

test('F26 a gzip that turns corrupt far behind its first header is an archive, and refused', async () => {
  const open = rawMember({ name: 'a' }, randomBytes(100_000))
  const header = gzipSync('').subarray(0, 10)
  // A block of a type that there is none of.
  const archive = Buffer.concat([header, deflateRawSync(open, { finishFlush: constants.Z_SYNC_FLUSH }), Buffer.from([7]), randomBytes(100)])
  for (const size of [5000, 1_000_000]) {
    expect(await isTarArchive(chunks(archive, size))).toBe(true)
    await expect(added(archive, size)).rejects.toMatchObject({ code: 'DECOMPRESS_FAILED' })
  }
})

describe('gzip, members decoded one by one', () => {
  const own = (bytes: Uint8Array, size?: number) => collect(decompress(chunks(bytes, size), 'gzip', { errorsLast: true }))

  test('gives what zlib gives', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(contents, { maxLength: 6 }),
        fc.integer({ min: 100, max: 100_000 }),
        fc.integer({ min: 0, max: 9 }),
        async (parts, size, level) => {
          const packed = Buffer.concat(parts.map((part) => gzipSync(part, { level })))
          expect((await own(packed, size)).equals(Buffer.concat(parts))).toBe(true)
        },
      ),
      { numRuns: 25 },
    )
  })

  test('thirty thousand members need no stack and no minutes', async () => {
    const one = gzipSync('x')
    expect((await own(Buffer.concat(Array.from({ length: 30_000 }, () => one)))).length).toBe(30_000)
  }, 30_000)

  test('every field of a header, a byte at a time', async () => {
    const data = Buffer.from('content')
    const rest = Buffer.alloc(8)
    rest.writeUInt32LE(crc32(data), 0)
    rest.writeUInt32LE(data.length, 4)
    const member = (flags: number, fields: Buffer, check: (crc: number) => number = (crc) => crc) => {
      const header = Buffer.concat([Buffer.from([0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 3]), fields])
      const digest = Buffer.alloc(flags & 2 ? 2 : 0)
      if (digest.length > 0) digest.writeUInt16LE(check(crc32(header) & 0xffff))
      return Buffer.concat([header, digest, deflateRawSync(data), rest])
    }
    const fields = Buffer.from('\x03\0xyzname\0comment\0', 'latin1')
    for (const size of [1, 1000]) {
      expect(
        String(await own(Buffer.concat([member(0x1f, fields), member(8, Buffer.from('n\0')), member(0, Buffer.alloc(0))]), size)),
      ).toBe('content'.repeat(3))
      for (const bad of [member(0x1e, fields, (crc) => crc ^ 1), member(0x40, Buffer.alloc(0)), member(0, fields)])
        await expect(own(bad, size)).rejects.toMatchObject({ code: 'DECOMPRESS_FAILED' })
    }
  })

  test('a name in the header has at most 511 bytes, as for Go: a longer one, or one without end, is refused at once', async () => {
    const named = (length: number) => {
      const header = Buffer.from([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3])
      return Buffer.concat([header, Buffer.alloc(length, 'n'), Buffer.alloc(1), gzipSync('content').subarray(10)])
    }
    expect(String(await own(named(511)))).toBe('content')
    for (const length of [512, 2 ** 24]) await expect(own(named(length))).rejects.toMatchObject({ code: 'DECOMPRESS_FAILED' })
  }, 10_000)

  test('members that hold nothing can be stopped', async () => {
    const stop = new AbortController()
    const empty = gzipSync('')
    let given = 0
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (; given < 1000; given += 1) {
        if (given === 5) stop.abort(new Error('enough'))
        yield empty
      }
    }
    const stopped = collect(decompress(endless(), 'gzip', { errorsLast: true, signal: stop.signal }))
    await expect(stopped).rejects.toThrow('enough')
    expect(given).toBe(5)
    await expect(isTarArchive(endless(), stop.signal)).rejects.toThrow('enough')
  })

  test('zeros behind a member are padding', async () => {
    for (const count of [1, 5, 1000]) expect(String(await own(Buffer.concat([gzipSync('x'), Buffer.alloc(count)])))).toBe('x')
  })
})

test('F26 an archive cut in the padding of a content ends there; in a content or a header it is refused', async () => {
  const archive = Buffer.concat([rawMember({ name: 'a' }, 'one'), rawMember({ name: 'b' }, 'x'.repeat(700))])
  const good = (length: number) => length === 0 || (length >= 512 + 3 && length <= 1024) || length >= 1024 + 512 + 700
  for (const size of [7, 65_536]) {
    for (let length = 0; length <= archive.length; length += 1) {
      const found = await read(archive.subarray(0, length), {}, size).then(names, (error: { code: string }) => error.code)
      expect([length, found]).toEqual([
        length,
        good(length) ? ['a', 'b'].slice(0, length < 512 ? 0 : length <= 1024 ? 1 : 2) : 'TAR_CORRUPT',
      ])
    }
  }
  // Nobody read the content.
  for await (const _ of readTar(chunks(archive.subarray(0, 600))));
})

test.each(['L', 'x'])(
  'F26 an extended header (%s) whose entry was cut off is dropped; one that is all there is, is refused',
  async (type) => {
    const data = type === 'x' ? '30 path=another-name-of-thirt\n' : 'another-name'
    const extended = rawMember({ type }, data.slice(0, 30))
    const archive = Buffer.concat([rawMember({ name: 'a' }, 'one'), extended])
    for (const length of [512 + 30, 600, 1024]) expect(names(await read(archive.subarray(0, 1024 + length)))).toEqual(['a'])
    expect(names(await read(Buffer.concat([archive, END])))).toEqual(['a'])
    for (const cut of [
      archive.subarray(0, 1024 + 520),
      archive.subarray(0, 1024 + 100),
      extended,
      Buffer.concat([archive, Buffer.alloc(100)]),
    ])
      await expect(read(cut)).rejects.toMatchObject({ code: 'TAR_CORRUPT' })
  },
)

import { chunks, END, file, padded, rawHeader, rawMember, read, write } from '../unit/tar/items.ts'

const join = (...parts: Buffer[]) => Buffer.concat(parts)
const names = async (archive: Buffer) => (await read(archive)).map(({ entry }) => entry.name.toString())
const record = (text: string) => {
  let length = text.length + 3
  while (`${length} ${text}\n`.length !== length) length += 1
  return `${length} ${text}\n`
}
const pax = (...records: string[]) => rawMember({ type: 'x', name: 'x' }, records.map(record).join(''))

test('CVE-2025-62518 TARmageddon: a PAX size wins over the ustar size, so that no entry hides in the content', async () => {
  const hidden = join(rawMember({ name: 'hidden' }, 'evil'), END)
  const archive = join(
    pax(`size=${hidden.length}`),
    rawHeader({ name: 'outer', size: 0 }),
    padded(hidden),
    rawMember({ name: 'after' }),
    END,
  )
  expect(await names(archive)).toEqual(['outer', 'after'])
})

test('CVE-2026-53655: PAX records do not apply to a GNU long name in between, but to the next entry', async () => {
  const archive = join(
    pax('size=3'),
    rawMember({ type: 'L', name: '././@LongLink' }, 'long-name\0'),
    rawHeader({ name: 'short', size: 700 }),
    padded('abc'),
    END,
  )
  const [only] = await read(archive)
  expect(only?.entry).toMatchObject({ name: Buffer.from('long-name'), size: 3 })
  expect(only?.data.toString()).toBe('abc')
})

test('a GNU long name and a different PAX path are refused: Go and GNU tar read different names', async () => {
  const archive = join(pax('path=one'), rawMember({ type: 'L' }, 'two\0'), rawMember({ name: 'three' }), END)
  await expect(read(archive)).rejects.toMatchObject({ code: 'TAR_CORRUPT' })
})

test.each([
  ['too long a length', '99 path=x\n'],
  ['no length', 'path=x\n'],
  ['a signed length', '+9 path=x\n'],
  ['no newline', '9 path=xy'],
  ['no equals sign', '9 pathxx\n'],
  ['an empty key', '6 =xx\n'],
  ['a length of zero', '0 path=x\n'],
])('astral-tokio-tar: malformed PAX with %s is an error', async (_, records) => {
  await expect(read(join(rawMember({ type: 'x' }, records), rawMember({}), END))).rejects.toMatchObject({ code: 'TAR_CORRUPT' })
})

test('GHSA-gvwx-54wh-qm9j: NUL in a PAX path is an error', async () => {
  await expect(read(join(pax('path=a\0b'), rawMember({}), END))).rejects.toMatchObject({ code: 'TAR_CORRUPT' })
})

test('GHSA-8x88-c5mf-7j5w: a negative size is an error, in base 256 and in PAX', async () => {
  const negative = Buffer.alloc(12, 0xff)
  await expect(read(join(rawHeader({ size: negative }), END))).rejects.toMatchObject({ code: 'TAR_CORRUPT' })
  await expect(read(join(pax('size=-1'), rawMember({}), END))).rejects.toMatchObject({ code: 'TAR_CORRUPT' })
})

test.each(['0x10', '1e3', ' 5', '9999999999999999999', '1.5'])('GHSA-w8wr-v893-vjvp: a PAX size of %s is not coerced', async (size) => {
  await expect(read(join(pax(`size=${size}`), rawMember({}), END))).rejects.toMatchObject({ code: 'TAR_CORRUPT' })
})

test('GHSA-w8wr-v893-vjvp: a path that looks like a number is a name', async () => {
  expect(await names(join(pax('path=123'), rawMember({}), END))).toEqual(['123'])
})

test('CVE-2022-2879: an extended header that claims more than a mebibyte is refused before it is read', async () => {
  for (const type of ['x', 'L', 'K', 'g']) {
    await expect(read(join(rawHeader({ type, size: 2 ** 30 }), END))).rejects.toMatchObject({ code: 'TAR_LIMIT' })
  }
})

test('CVE-2025-58183: a sparse map of more regions than the cap is refused', async () => {
  const map = `2000000\n${'0\n'.repeat(10)}`
  const archive = join(
    pax('GNU.sparse.major=1', 'GNU.sparse.minor=0', 'GNU.sparse.realsize=1', 'GNU.sparse.name=s'),
    rawMember({}, padded(map)),
    END,
  )
  await expect(read(archive)).rejects.toMatchObject({ code: 'TAR_LIMIT' })
})

test('CVE-2026-32288: the holes of a sparse file count against the budget', async () => {
  const archive = join(pax('GNU.sparse.map=0,1', 'GNU.sparse.size=8000000000000'), rawMember({}, 'x'), END)
  await expect(read(archive, { maxBytes: 1e9 })).rejects.toMatchObject({ code: 'TAR_LIMIT' })
})

test.each(['5,1,0,1', '0,2', '0,1,0,1', '3,9', '1', 'a,b'])('a sparse map %s that overlaps, overruns or lies is an error', async (map) => {
  const archive = join(pax(`GNU.sparse.map=${map}`, 'GNU.sparse.size=6'), rawMember({}, 'x'), END)
  await expect(read(archive)).rejects.toMatchObject({ code: 'TAR_CORRUPT' })
})

test('a wrong checksum is an error', async () => {
  const archive = await write([file('f', 'x')])
  archive[0] = 0x67
  await expect(read(archive)).rejects.toMatchObject({ code: 'TAR_CORRUPT' })
})

test('an archive cut within a header or a content is TAR_CORRUPT', async () => {
  const archive = await write([file('a', 'x'.repeat(600)), file('é', 'y')])
  const extended = Number.parseInt(archive.toString('latin1', 1536 + 124, 1536 + 135), 8)
  for (let length = 1; length < archive.length - 1024; length += 7) {
    // F26: behind an entry, with an extended header or without one, and in padding it ends, as for Go's reader.
    const ends = [
      [512 + 600, 1536],
      [2048 + extended, 2560],
      [3072 + 'y'.length, 3584],
    ].some(([first = 0, last = 0]) => length >= first && length <= last)
    const found = await read(archive.subarray(0, length)).then(
      () => true,
      (error: { code?: string }) => error.code,
    )
    expect([length, found]).toEqual([length, ends ? true : 'TAR_CORRUPT'])
  }
})

test('ggcr d807d512: the stream is read to its end, so that a digest over it is compared', async () => {
  let drained = false
  const archive = await write([file('a', 'x')])
  const source = async function* () {
    yield* chunks(archive)
    yield* chunks(Buffer.alloc(100_000))
    drained = true
  }
  const { readTar } = await import('../../src/tar/read.ts')
  for await (const _ of readTar(source()));
  expect(drained).toBe(true)
})

test('umoci CVE-2021-29136: `/.` is the root, which whoever unpacks does not replace', async () => {
  expect(await names(join(rawMember({ name: '/.', type: '2', linkname: '/etc' }), END))).toEqual([''])
})

test('names lose leading / and ./ only; .. stays for the resolver to refuse', async () => {
  const archive = join(...['/a', './b', '//./c/', '.d', '..', '../e', './/../f', 'g/.'].map((name) => rawMember({ name, type: '5' })), END)
  expect(await names(archive)).toEqual(['a', 'b', 'c', '.d', '..', '../e', '../f', 'g/.'])
})

test('node-tar 631ae59: a million empty global headers cost neither stack nor time', async () => {
  const one = rawMember({ type: 'g' }, record('comment=x'))
  const { readTar } = await import('../../src/tar/read.ts')
  const many = async function* () {
    for (let index = 0; index < 50_000; index += 1) yield one
    yield END
  }
  for await (const _ of readTar(many()));
  const limited = async () => {
    for await (const _ of readTar(many(), { maxEntries: 1000 }));
  }
  await expect(limited()).rejects.toMatchObject({ code: 'TAR_LIMIT' })
})

test('unknown types are refused by name', async () => {
  await expect(read(join(rawMember({ type: 'M' }), END))).rejects.toMatchObject({
    code: 'TAR_UNSUPPORTED',
    message: expect.stringContaining('"M"'),
  })
})

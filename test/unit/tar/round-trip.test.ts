import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import type { TarEntry, TarType } from '../../../src/tar/types.ts'
import { entry, file, read, type Whole, write } from './items.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-tar-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const nameBytes = fc
  .uint8Array({ minLength: 1, maxLength: 300 })
  .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 ? 0x61 : byte))))
/** Relative, without the parts that a reader strips. */
const names = nameBytes.map((bytes) => Buffer.concat([Buffer.from('n'), bytes, Buffer.from('e')]))
const ids = fc.oneof(fc.nat(5000), fc.integer({ min: 2_097_150, max: 2_097_153 }), fc.integer({ min: 0, max: 2 ** 32 - 2 }))
const xattrs = fc.dictionary(
  fc.stringMatching(/^(user|security)\.[a-z]{1,20}$/),
  fc.uint8Array({ maxLength: 40 }).map((b) => Buffer.from(b)),
  { maxKeys: 3 },
)

const items: fc.Arbitrary<Whole> = fc
  .record({
    name: names,
    type: fc.constantFrom<TarType>('file', 'directory', 'symlink', 'link', 'character', 'block', 'fifo'),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: ids,
    gid: ids,
    mtime: fc.integer({ min: -(2 ** 36), max: 2 ** 36 }),
    nanoseconds: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 999_999_999 })),
    linkname: nameBytes,
    device: fc.tuple(fc.nat(4095), fc.nat(2_097_151)),
    xattrs,
    data: fc.uint8Array({ maxLength: 1500 }).map((b) => Buffer.from(b)),
  })
  .map(({ name, type, mode, uid, gid, mtime, nanoseconds, linkname, device, xattrs, data }) => {
    const made: TarEntry = {
      ...{ name, type, mode, uid, gid, mtime, size: type === 'file' ? data.length : 0 },
      ...(nanoseconds === 0 ? {} : { mtimeNanoseconds: nanoseconds }),
      ...(type === 'symlink' || type === 'link' ? { linkname } : {}),
      ...(type === 'character' || type === 'block' ? { major: device[0], minor: device[1] } : {}),
      ...(Object.keys(xattrs).length === 0 ? {} : { xattrs: new Map(Object.entries(xattrs)) }),
    }
    return { entry: made, data: type === 'file' ? data : Buffer.alloc(0) }
  })

test('what is written is read back, whatever the sizes of the chunks', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(items, { maxLength: 8 }), fc.integer({ min: 1, max: 2000 }), async (written, chunkSize) => {
      const sorted = written.map(({ entry, data }) => ({ entry: withSortedXattrs(entry), data }))
      const found = await read(await write(written), {}, chunkSize)
      expect(found.map(({ entry, data }) => ({ entry: withSortedXattrs(entry), data }))).toEqual(sorted)
    }),
    { numRuns: 150 },
  )
})

function withSortedXattrs(entry: TarEntry): TarEntry {
  return entry.xattrs === undefined ? entry : { ...entry, xattrs: new Map([...entry.xattrs].sort()) }
}

test('equal items give equal bytes, and the order of xattrs does not matter', async () => {
  const a = new Map([
    ['user.a', Buffer.from('1')],
    ['user.b', Buffer.from('2')],
  ])
  const b = new Map([...a].reverse())
  expect(await write([file('f', 'x', { xattrs: a })])).toEqual(await write([file('f', 'x', { xattrs: b })]))
})

const PYTHON = `
import tarfile, sys, json
out = []
with tarfile.open(sys.argv[1], encoding='utf-8', errors='surrogateescape') as t:
    for m in t:
        out.append([m.name.encode('utf-8','surrogateescape').hex(), m.type.decode(), m.mode, m.uid, m.gid, m.size, float(m.mtime), m.linkname.encode('utf-8','surrogateescape').hex(), t.extractfile(m).read().hex() if m.isreg() else ''])
print(json.dumps(out))
`

const samples: Whole[] = [
  file('plain', 'hello\n', { mtime: 1_700_000_000 }),
  file('zero-mode', 'x', { mode: 0 }),
  file('big-ids', 'x', { uid: 2_097_152, gid: 4_294_967_294 }),
  file(`${'long/'.repeat(60)}name`, 'deep'),
  file(Buffer.from([0x66, 0xff, 0xfe]), 'not utf-8'),
  file('grün', 'utf-8'),
  { entry: entry('directory', { type: 'directory', mode: 0o1777 }), data: Buffer.alloc(0) },
  { entry: entry('symlink', { type: 'symlink', linkname: Buffer.from(`/${'t'.repeat(150)}`), mode: 0o777 }), data: Buffer.alloc(0) },
  { entry: entry('hard', { type: 'link', linkname: Buffer.from('plain') }), data: Buffer.alloc(0) },
  { entry: entry('fifo', { type: 'fifo' }), data: Buffer.alloc(0) },
  { entry: entry('device', { type: 'character', major: 1, minor: 3 }), data: Buffer.alloc(0) },
  file('old', 'x', { mtime: -3, mtimeNanoseconds: 500_000_000 }),
  file('caps', 'x', { xattrs: new Map([['security.capability', Buffer.from('0100000280000000000000000000000000000000', 'hex')]]) }),
]

test('python tarfile reads the same entries', async () => {
  const path = join(folder, 'python.tar')
  writeFileSync(path, await write(samples))
  const found = JSON.parse(execFileSync('python3', ['-c', PYTHON, path], { encoding: 'utf8' }))
  const flags: Record<TarType, string> = { file: '0', link: '1', symlink: '2', character: '3', block: '4', directory: '5', fifo: '6' }
  expect(found).toEqual(
    samples.map(({ entry, data }) => [
      entry.name.toString('hex'),
      flags[entry.type],
      entry.mode,
      entry.uid,
      entry.gid,
      entry.size,
      entry.mtime + (entry.mtimeNanoseconds ?? 0) / 1e9,
      (entry.linkname ?? Buffer.alloc(0)).toString('hex'),
      data.toString('hex'),
    ]),
  )
})

test('GNU tar lists and extracts what was written', async () => {
  const path = join(folder, 'gnu.tar')
  writeFileSync(path, await write(samples))
  const listing = execFileSync('tar', ['--numeric-owner', '--quoting-style=literal', '--utc', '-tvf', path], {
    env: { ...process.env, LC_ALL: 'C' },
  })
  const lines = listing.toString('latin1').trimEnd().split('\n')
  expect(lines).toHaveLength(samples.length)
  expect(lines[2]).toMatch(/^-rw-r--r-- 2097152\/4294967294 +1 1970-01-01 00:00 big-ids$/)
  expect(lines[4]?.endsWith('f\xff\xfe')).toBe(true)
  expect(lines[7]).toContain(`symlink -> /${'t'.repeat(150)}`)
  expect(lines[11]).toContain('1969-12-31')
  const content = execFileSync('tar', ['-xOf', path, `${'long/'.repeat(60)}name`], { encoding: 'utf8' })
  expect(content).toBe('deep')
})

test('archives of GNU tar in all its formats read the same', async () => {
  const source = join(folder, 'source')
  execFileSync('sh', [
    '-c',
    `mkdir -p "$1/${'d'.repeat(90)}" && cd "$1" && printf data > "${'d'.repeat(90)}/${'f'.repeat(60)}" && ln -s target link && truncate -s 3M sparse && printf X | dd of=sparse bs=1 seek=1500000 conv=notrunc status=none`,
    'sh',
    source,
  ])
  const variants = [
    ['gnu'],
    ['oldgnu', '-S'],
    ['gnu', '-S'],
    ['ustar'],
    ['posix'],
    ['posix', '-S', '--sparse-version=0.0'],
    ['posix', '-S', '--sparse-version=0.1'],
    ['posix', '-S', '--sparse-version=1.0'],
  ]
  for (const [format = '', ...flags] of variants) {
    const path = join(folder, `${format}.tar`)
    execFileSync('tar', [`--format=${format}`, ...flags, '--sort=name', '-C', source, '-cf', path, '.'])
    const found = await read(readFileSync(path), {}, 777)
    const names = found.map((item) => item.entry.name.toString())
    expect({ format, flags, names }).toEqual({
      format,
      flags,
      names: ['', 'd'.repeat(90), `${'d'.repeat(90)}/${'f'.repeat(60)}`, 'link', 'sparse'],
    })
    const sparse = found[4]?.data as Buffer
    expect(sparse.equals(readFileSync(join(source, 'sparse')))).toBe(true)
    expect(found[2]?.data.toString()).toBe('data')
  }
})

test('a file of over 8 GiB keeps its size in the header, in PAX and in base 256', async () => {
  const size = 9 * 2 ** 30
  const { encodeEntry } = await import('../../../src/tar/write.ts')
  const header = Buffer.concat(encodeEntry(entry('huge', { size })))
  const { readTar } = await import('../../../src/tar/read.ts')
  const sizeOf = async (bytes: Buffer) => {
    for await (const { entry } of readTar(
      (async function* () {
        yield bytes
      })(),
    ))
      return entry.size
  }
  expect(await sizeOf(header)).toBe(size)
  const { rawHeader } = await import('./items.ts')
  const base256 = Buffer.alloc(12)
  base256.writeBigUInt64BE(BigInt(size), 4)
  base256[0] = 0x80
  expect(await sizeOf(rawHeader({ size: base256, magic: 'ustar  \0' }))).toBe(size)
})

test('a file that grows or shrinks while it is written is an error, not a broken archive', async () => {
  await expect(write([{ entry: entry('f', { size: 3 }), data: Buffer.from('four') }])).rejects.toMatchObject({ code: 'TAR_SIZE_MISMATCH' })
  await expect(write([{ entry: entry('f', { size: 5 }), data: Buffer.from('four') }])).rejects.toMatchObject({ code: 'TAR_SIZE_MISMATCH' })
})

test('content that is not read is skipped', async () => {
  const { readTar } = await import('../../../src/tar/read.ts')
  const { chunks } = await import('./items.ts')
  const seen: string[] = []
  for await (const { entry } of readTar(chunks(await write([file('a', 'x'.repeat(5000)), file('b', 'y')]))))
    seen.push(entry.name.toString())
  expect(seen).toEqual(['a', 'b'])
})

import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sys } from '../../../src/base/sys.ts'
import { AT_FDCWD, O_DIRECTORY, O_PATH } from '../../../src/base/sys-constants.ts'
import { unpackArchive, unpackLayer } from '../../../src/tree/unpack.ts'
import { layeredView } from '../../../src/tree/view.ts'
import { layerWriter } from '../../../src/tree/writer.ts'
import { codeOf, entries, type Loose, listing, temporary } from './folders.ts'

const { folder, shell } = temporary()

/** What a layer's tar makes over nothing, or over a directory. */
async function unpacked(list: readonly Loose[], lower: string[] = []): Promise<{ upper: string; lines: string[] }> {
  const upper = folder('upper')
  await unpackLayer(entries(...list), layerWriter(upper, layeredView(lower)))
  return { upper, lines: listing(layeredView([upper]), { times: true }) }
}

const directory = (name: string): Loose => ({ name, type: 'directory', mode: 0o755, mtime: 5 })
const many = (parent: string, count: number): Loose[] =>
  Array.from({ length: count }, (_, at) => ({ name: `${parent}/${at}`, data: `${parent} ${at}` }))

test('files of many directories arrive whole, more than one batch of them, with what their entries say', async () => {
  const list = [directory('a'), directory('a/b'), ...many('a', 200), ...many('a/b', 200)]
  const special: Loose[] = [
    { name: 'a/setuid', mode: 0o4755, uid: 7, gid: 8, data: 'x' },
    { name: 'a/old', mtime: -5, mtimeNanoseconds: 6 },
    { name: 'a/empty' },
    { name: 'a/large', data: 'y'.repeat(900_000) },
    { name: 'a/half', data: 'z'.repeat(200_000) },
  ]
  const { upper, lines } = await unpacked([...list, ...special])
  expect(lines).toHaveLength(407)
  expect(lines[0]).toBe('a directory 755 0:0 5.0')
  for (const at of [0, 127, 128, 199]) expect(readFileSync(join(upper, `a/b/${at}`), 'utf8')).toBe(`a/b ${at}`)
  expect(lines.filter((line) => / (4755|900000|200000|0) /.test(line))).toEqual([
    ...['a/empty file 644 0:0 0 1000.0', 'a/half file 644 0:0 200000 1000.0', 'a/large file 644 0:0 900000 1000.0'],
    ...['a/old file 644 0:0 0 0.0', 'a/setuid file 4755 7:8 1 1000.0'],
  ])
})

test('a directory with files that were only begun gives way to a file, and that to a directory', async () => {
  const list: Loose[] = [directory('a'), ...many('a', 3), { name: 'a', data: 'file' }, directory('b'), { name: 'b/x' }]
  expect((await unpacked(list)).lines.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual(['a file', 'b directory', 'b/x file'])
  const { lines } = await unpacked([...list, directory('a'), { name: 'a/new', data: 'n' }])
  expect(lines.map((line) => line.split(' ')[0])).toEqual(['a', 'a/new', 'b', 'b/x'])
})

test('the last entry of a name counts', async () => {
  const { upper } = await unpacked([
    { name: 'f', data: 'one' },
    { name: 'g', type: 'symlink', linkname: 'f' },
    { name: 'f', data: 'two' },
    { name: 'g', data: 'file' },
  ])
  expect([readFileSync(join(upper, 'f'), 'utf8'), readFileSync(join(upper, 'g'), 'utf8')]).toEqual(['two', 'file'])
})

test('links to files that were only begun, and links in their place', async () => {
  const link = (name: string, linkname: string): Loose => ({ name, type: 'link', linkname })
  const { upper } = await unpacked([
    directory('d'),
    { name: 'd/f', data: 'f' },
    link('d/g', 'd/f'),
    { name: 'd/h', data: 'h' },
    link('d/h', 'd/f'),
  ])
  expect(statSync(join(upper, 'd/h')).nlink).toBe(3)
  expect(readFileSync(join(upper, 'd/h'), 'utf8')).toBe('f')
})

test('a file is made where no system call takes the whole path', async () => {
  const deep = Array.from({ length: 20 }, () => 'd'.repeat(200)).join('/')
  const { upper } = await unpacked([{ name: `${deep}/${'f'.repeat(200)}`, data: 'deep' }, { name: 'g' }])
  const view = layeredView([upper])
  const found = view.resolve(Buffer.from(deep))
  expect(found && [...view.children(found)].map(({ name, stat }) => [name.length, stat.size])).toEqual([[200, 4]])
})

test('a path through a file that was only begun is refused as one through a file', async () => {
  expect(
    await codeOf(
      unpacked([
        { name: 'f', data: 'x' },
        { name: 'f/g', data: 'y' },
      ]),
    ),
  ).toBe('NOT_A_DIRECTORY')
})

test('a directory is where its name leads at that time: a symlink in its place leads elsewhere', async () => {
  const list: Loose[] = [directory('one'), directory('two'), { name: 'l', type: 'symlink', linkname: 'one' }, { name: 'l/a' }]
  const { lines } = await unpacked([
    ...list,
    { name: 'l', type: 'symlink', linkname: 'two' },
    { name: 'l/b' },
    directory('l'),
    { name: 'l/c' },
  ])
  expect(lines.map((line) => line.split(' ')[0])).toEqual(['l', 'l/c', 'one', 'one/a', 'two', 'two/b'])
})

test('F27 an ADD goes through a symlink of the layers below until it is replaced', async () => {
  const [base, upper] = [folder('base'), folder('upper')]
  shell('mkdir real; ln -s real l', base)
  const items = entries({ name: 'l/a' }, { name: 'l', data: 'file' })
  await unpackArchive(items, layerWriter(upper, layeredView([base])), { target: '' })
  expect(listing(layeredView([base, upper])).map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
    'l file',
    'real directory',
    'real/a file',
  ])
  const again = entries({ name: 'l/a' }, { name: 'l', data: 'file' }, { name: 'l/b' })
  expect(await codeOf(unpackArchive(again, layerWriter(folder(), layeredView([base])), { target: '' }))).toBe('NOT_A_DIRECTORY')
})

test('a whiteout hides what is below, and leaves a file of its name that was only begun', async () => {
  const base = folder('base')
  shell('mkdir d; touch d/f d/g', base)
  const { upper } = await unpacked([{ name: 'd/f', data: 'new' }, { name: 'd/.wh.f' }, { name: 'd/.wh.g' }], [base])
  expect(listing(layeredView([base, upper])).map((line) => line.split(' ')[0])).toEqual(['d', 'd/f'])
})

test('a directory is looked up once, not for each of its files, and a file of a new directory never', async () => {
  const { lookupat } = sys()
  let lookups = 0
  sys().lookupat = (...args) => {
    lookups += 1
    return lookupat(...args)
  }
  try {
    await unpacked([directory('a'), directory('a/b'), directory('a/b/c'), ...many('a/b/c', 500)])
  } finally {
    sys().lookupat = lookupat
  }
  expect(lookups).toBeLessThan(20)
})

describe('writeEach', () => {
  const file = (path: string, size: number) => ({
    ...{ path: Buffer.from(path), size, mode: 0o640, uid: 1, gid: 2 },
    mtimeSeconds: 3,
    mtimeNanoseconds: 4,
  })
  const opened = (path: string) => sys().openat(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0)

  test('leaves what is taken, missing, or behind a symlink or outside', async () => {
    const [top, outside] = [folder('top'), folder('outside')]
    mkdirSync(join(top, 'd'))
    symlinkSync(outside, join(top, 'out'))
    symlinkSync('d', join(top, 'in'))
    writeFileSync(join(top, 'taken'), 'mine')
    const paths = ['d/f', 'out/f', 'in/f', 'taken', 'none/f', '../f', '/f', 'd/g']
    const fd = opened(top)
    const pending = sys().writeEach(
      fd,
      paths.map((path, at) => file(path, at)),
      Buffer.from('0'.repeat(28)),
    )
    sys().close(fd)
    expect([...(await pending)]).toEqual([0, 1, 1, 1, 1, 1, 1, 0])
    expect(readdirSync(outside)).toEqual([])
    expect(listing(layeredView([join(top, 'd')]), { times: true })).toEqual(['f file 640 1:2 0 3.4', 'g file 640 1:2 7 3.4'])
    expect(readFileSync(join(top, 'taken'), 'utf8')).toBe('mine')
  })

  test('refuses sizes that its content does not have', () => {
    const fd = opened(folder())
    for (const sizes of [[4], [2, 2], [-1], [Number.NaN]]) {
      expect(() =>
        sys().writeEach(
          fd,
          sizes.map((size, at) => file(`f${at}`, size)),
          Buffer.from('abc'),
        ),
      ).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }))
    }
    expect(() => sys().writeEach(fd, [file('', 0)], Buffer.alloc(0))).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }))
    sys().close(fd)
  })
})

test('an unpacking ends when all of its threads have, also when one has failed', async () => {
  const { writeEach } = sys()
  const pending: (() => void)[] = []
  let ended = false
  sys().writeEach = async (...args) => {
    if (pending.length === 1) throw new Error('no memory')
    await new Promise<void>((resolve) => pending.push(resolve))
    return writeEach(...args)
  }
  try {
    const unpacking = unpacked(many('a', 200)).finally(() => {
      ended = true
    })
    unpacking.catch(() => {})
    while (pending.length === 0) await new Promise(setImmediate)
    for (let turn = 0; turn < 100; turn += 1) await new Promise(setImmediate)
    expect([pending.length, ended]).toEqual([1, false])
    pending[0]?.()
    await expect(unpacking).rejects.toThrow('no memory')
  } finally {
    sys().writeEach = writeEach
  }
})

test('an abort ends an unpacking, and nothing is written after it', async () => {
  const controller = new AbortController()
  const upper = folder('upper')
  async function* endless() {
    for (let at = 0; ; at++) {
      yield* entries({ name: `f${at}`, data: 'x' })
      if (at === 300) controller.abort(new Error('enough'))
    }
  }
  await expect(unpackLayer(endless(), layerWriter(upper, layeredView([])), { signal: controller.signal })).rejects.toThrow('enough')
  const before = readdirSync(upper).length
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(readdirSync(upper).length).toBe(before)
})

import { constants, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { nativeFolder, sys } from '../../../src/base/sys.ts'
import * as c from '../../../src/base/sys-constants.ts'
import { COPY, READ, STAT, STAT_FIELDS, WRITE } from '../../../src/base/sys-values.ts'

let folder: string
let root: number
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-sys-'))
  root = sys().openat(c.AT_FDCWD, folder, c.O_PATH | c.O_DIRECTORY, 0)
})
afterEach(() => {
  sys().close(root)
  rmSync(folder, { recursive: true })
})

const create = (name: string | Buffer, text = '') => {
  const fd = sys().openat(root, name, c.O_CREAT | c.O_EXCL | c.O_WRONLY, 0o600)
  sys().close(fd)
  if (text !== '') writeFileSync(join(folder, String(name)), text)
}
const codeOf = (action: () => unknown) => {
  try {
    action()
  } catch (error) {
    return (error as { code: string }).code
  }
  return undefined
}

test('names are bytes: a name that is not UTF-8 is created, listed and removed', () => {
  const name = Buffer.from([0x61, 0xff, 0xfe, 0x0a])
  create(name)
  const fd = sys().openat(root, '.', c.O_RDONLY | c.O_DIRECTORY, 0)
  expect(sys().readdir(fd)).toEqual([{ name, type: c.DT_REG }])
  sys().unlinkat(root, name, 0)
  expect(sys().readdir(fd)).toEqual([])
  sys().close(fd)
})

test('a listing longer than one getdents block is whole', () => {
  for (let index = 0; index < 3000; index++) create(`file-with-a-long-name-${index}`)
  const fd = sys().openat(root, '.', c.O_RDONLY | c.O_DIRECTORY, 0)
  expect(
    new Set(
      sys()
        .readdir(fd)
        .map((entry) => entry.name.toString()),
    ).size,
  ).toBe(3000)
  sys().close(fd)
})

test('errors carry code, errno and syscall', () => {
  expect(() => sys().openat(root, 'none', c.O_RDONLY, 0)).toThrow(
    expect.objectContaining({ code: 'ENOENT', errno: -2, syscall: 'openat', path: 'none' }),
  )
  expect(codeOf(() => sys().statat(root, 'none'))).toBe('ENOENT')
  expect(codeOf(() => sys().mkdirat(root, 'a\0b', 0o755))).toBe('EINVAL')
  expect(codeOf(() => sys().mkdirat(root, 'x'.repeat(5000), 0o755))).toBe('ENAMETOOLONG')
  expect(codeOf(() => Reflect.apply(sys().mkdirat, sys(), []))).toBe('ERR_MISSING_ARGS')
  expect(sys().lookupat(root, 'none')).toBeUndefined()
})

test('metadata: mode, owner, times with nanoseconds', () => {
  create('f', 'hello')
  sys().chownat(root, 'f', 4000000, 7)
  sys().chmodat(root, 'f', 0o4751)
  sys().utimesat(root, 'f', -5, 123456789)
  expect(sys().statat(root, 'f')).toMatchObject({
    ...{ mode: c.S_IFREG | 0o4751, uid: 4000000, gid: 7, size: 5, mtimeSeconds: -5, mtimeNanoseconds: 123456789 },
  })
})

test('a symlink is never followed by chown, chmod and utimes', () => {
  create('f')
  sys().symlinkat('f', root, 'link')
  sys().chownat(root, 'link', 5, 6)
  sys().utimesat(root, 'link', 7, 8)
  expect(codeOf(() => sys().chmodat(root, 'link', 0o777))).toBe('EOPNOTSUPP')
  expect(sys().statat(root, 'link')).toMatchObject({ uid: 5, gid: 6, mtimeSeconds: 7 })
  expect(sys().statat(root, 'f')).toMatchObject({ mode: c.S_IFREG | 0o600, uid: 0 })
  expect(sys().readlinkat(root, 'link').toString()).toBe('f')
})

test('extended attributes hold any bytes, and are read from the link itself', () => {
  create('f')
  sys().symlinkat('f', root, 'link')
  const value = Buffer.from([0, 255, 1, 0])
  sys().setxattrat(root, 'f', 'user.a', value)
  sys().setxattrat(root, 'f', 'user.long', Buffer.alloc(3000, 7))
  expect(sys().listxattrat(root, 'f').map(String).sort()).toEqual(['user.a', 'user.long'])
  expect(sys().getxattrat(root, 'f', 'user.a')).toEqual(value)
  expect(sys().getxattrat(root, 'f', 'user.long')).toEqual(Buffer.alloc(3000, 7))
  expect(sys().getxattrat(root, 'link', 'user.a')).toBeNull()
  // More than the first try has room for.
  create('many')
  const many = Array.from({ length: 20 }, (_, index) => `user.${'n'.repeat(80)}${index}`)
  for (const name of many) sys().setxattrat(root, 'many', name, Buffer.alloc(0))
  expect(sys().listxattrat(root, 'many').map(String).sort()).toEqual([...many].sort())
  expect(sys().getxattrat(root, 'many', many[0] as string)).toEqual(Buffer.alloc(0))
  sys().removexattrat(root, 'f', 'user.a')
  expect(sys().getxattrat(root, 'f', 'user.a')).toBeNull()
})

test('extended attributes of an open descriptor, O_PATH too', () => {
  sys().mkdirat(root, 'd', 0o755)
  const fd = sys().openat(root, 'd', c.O_PATH | c.O_NOFOLLOW, 0)
  sys().setxattrat(fd, '', 'user.a', Buffer.from('x'))
  expect(sys().getxattrat(root, 'd', 'user.a')?.toString()).toBe('x')
  sys().close(fd)
})

test.each([0, 5, 65536, 65537, 3_000_000])('copyFile copies %d bytes, whole and in steps', (size) => {
  const data = Buffer.alloc(size, 'abcdefg')
  writeFileSync(join(folder, 'from'), data)
  const from = sys().openat(root, 'from', c.O_RDONLY, 0)
  for (const limit of [undefined, 1_000_000]) {
    const to = sys().openat(root, `to${limit}`, c.O_CREAT | constants.O_RDWR, 0o600)
    let offset = 0
    do offset = sys().copyFile(from, to, offset, limit)
    while (offset < size)
    expect(offset).toBe(size)
    expect(sys().statat(to, '', c.AT_EMPTY_PATH).size).toBe(size)
    sys().close(to)
  }
  sys().close(from)
})

test('flock is held by the open file: a second open cannot take it', () => {
  create('lock')
  const [first, second] = [0, 0].map(() => sys().openat(root, 'lock', constants.O_RDWR, 0)) as [number, number]
  expect(sys().flock(first, c.LOCK_EX | c.LOCK_NB)).toBe(true)
  expect(sys().flock(second, c.LOCK_SH | c.LOCK_NB)).toBe(false)
  sys().close(first)
  expect(sys().flock(second, c.LOCK_SH | c.LOCK_NB)).toBe(true)
  sys().close(second)
})

test('the addon loads in a worker thread', async () => {
  const code = `
    const module = { exports: {} }
    process.dlopen(module, ${JSON.stringify(join(nativeFolder(), 'sys.node'))})
    require('node:worker_threads').parentPort.postMessage(Object.keys(module.exports).length)`
  const worker = new Worker(code, { eval: true })
  const count = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  expect(count).toBeGreaterThan(20)
  await worker.terminate()
})

describe('many at a time', () => {
  const entry = (name: string | Buffer) => ({ name: Buffer.from(name), type: 0 })

  test('statEach gives what statat gives, in order, and undefined for what is gone', () => {
    create('a', 'one')
    sys().mkdirat(root, 'd', 0o750)
    sys().symlinkat('a', root, 'l')
    const stats = sys().statEach(root, ['a', 'gone', 'd', 'l'].map(entry))
    expect(stats).toEqual([sys().statat(root, 'a'), undefined, sys().statat(root, 'd'), sys().statat(root, 'l')])
    expect(sys().statEach(root, [])).toEqual([])
  })

  test('statEach throws what is no absence: nothing may look as if it were gone', () => {
    create('file')
    const file = sys().openat(root, 'file', c.O_RDONLY, 0)
    expect(() => sys().statEach(file, [entry('x')])).toThrow(
      expect.objectContaining({ code: 'ENOTDIR', errno: -20, syscall: 'fstatat', path: 'x' }),
    )
    expect(codeOf(() => sys().statEach(987654, [entry('x')]))).toBe('EBADF')
    sys().close(file)
  })

  test.each(['', 'a/b', 'a\0b', 'x'.repeat(256)])('%j is no name of a directory', async (name) => {
    create('a')
    expect(codeOf(() => sys().statEach(root, [entry('a'), entry(name)]))).toBe('ERR_INVALID_ARG_VALUE')
    const file = { name: Buffer.from(name), mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 0, mtimeNanoseconds: 0 }
    expect(codeOf(() => sys().copyEach(root, root, [file]))).toBe('ERR_INVALID_ARG_VALUE')
  })

  test('copyEach refuses numbers that the kernel would take for others', () => {
    create('a')
    const file = { name: Buffer.from('a'), mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 0, mtimeNanoseconds: 0 }
    for (const wrong of [{ mode: Number.NaN }, { uid: -1 }, { gid: 2 ** 32 }, { mtimeSeconds: 1e300 }, { mtimeNanoseconds: 1e9 }]) {
      expect(codeOf(() => sys().copyEach(root, root, [{ ...file, ...wrong }]))).toBe('ERR_OUT_OF_RANGE')
    }
    expect(codeOf(() => sys().copyEach(987654, root, [file]))).toBe('EBADF')
  })

  test('readEach puts each file in its place and leaves undone what is not plain or has another size', async () => {
    for (const name of ['a', 'bb', 'ccc', 'longer', 'shorter', 'attributed']) create(name, name)
    sys().symlinkat('a', root, 'link')
    sys().mkdirat(root, 'directory', 0o755)
    sys().setxattrat(root, 'attributed', 'user.note', Buffer.from('x'))
    const into = Buffer.alloc(64, '.')
    const place = (name: string, offset: number, size = name.length) => ({ name: Buffer.from(name), offset, size })
    const files = [place('ccc', 10), place('a', 0), place('bb', 62), place('longer', 20, 5), place('shorter', 30, 8)]
    const others = [place('attributed', 40), place('link', 50, 1), place('directory', 50), place('missing', 50)]
    expect([...(await sys().readEach(root, [...files, ...others], into))]).toEqual([0, 0, 0, 1, 1, 1, 1, 1, 1])
    expect([into.toString('latin1', 0, 2), into.toString('latin1', 9, 14), into.toString('latin1', 61)]).toEqual(['a.', '.ccc.', '.bb'])
  })

  test('what overlayfs alone marks is plain: files that a RUN changed', async () => {
    for (const name of ['origin', 'marked', 'both']) create(name, name)
    sys().setxattrat(root, 'origin', 'trusted.overlay.origin', Buffer.from('x'))
    sys().setxattrat(root, 'marked', 'user.overlay.origin', Buffer.from('x'))
    sys().setxattrat(root, 'both', 'trusted.overlay.origin', Buffer.from('x'))
    sys().setxattrat(root, 'both', 'user.overlay_', Buffer.from('x'))
    const files = ['origin', 'marked', 'both'].map((name, index) => ({ name: Buffer.from(name), offset: 10 * index, size: name.length }))
    expect([...(await sys().readEach(root, files, Buffer.alloc(64)))]).toEqual([0, 0, 1])
  })

  test('readEach writes nowhere else than into its buffer', () => {
    create('a')
    for (const [offset, size] of [
      [0, 9],
      [8, 1],
      [-1, 1],
      [0, -1],
      [Number.NaN, 1],
      [2 ** 64, 1],
      [1, Number.POSITIVE_INFINITY],
    ] as const) {
      expect(codeOf(() => sys().readEach(root, [{ name: Buffer.from('a'), offset, size }], Buffer.alloc(8)))).toBe('ERR_OUT_OF_RANGE')
    }
    expect(codeOf(() => sys().readEach(987654, [], Buffer.alloc(8)))).toBe('EBADF')
  })

  test('the addon has the same places for fields', () => {
    const header = ['batch.h', 'write.h'].map((name) => readFileSync(join(import.meta.dirname, '../../../addon', name), 'utf8')).join('')
    const places = (prefix: string) =>
      Object.fromEntries(
        [...header.matchAll(new RegExp(`${prefix}_(\\w+) = (\\d+)`, 'g'))].map(([, name = '', place]) => [
          name.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
          Number(place),
        ]),
      )
    expect(places('STAT')).toEqual(STAT)
    expect(places('COPY')).toEqual(COPY)
    expect(places('READ')).toEqual(READ)
    expect({ ...COPY, ...places('WRITE') }).toEqual(WRITE)
    expect(Object.values(STAT)).toHaveLength(STAT_FIELDS)
  })
})

describe('arguments', () => {
  test.each([Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, -(2 ** 31) - 1])('%d is no descriptor', (fd) => {
    expect(codeOf(() => sys().close(fd))).toBe('ERR_OUT_OF_RANGE')
  })

  test('an id or a time that is out of range is refused and not cut', () => {
    create('f')
    expect(codeOf(() => sys().chownat(root, 'f', 2 ** 32, 0))).toBe('ERR_OUT_OF_RANGE')
    expect(codeOf(() => sys().chownat(root, 'f', -2, 0))).toBe('ERR_OUT_OF_RANGE')
    expect(codeOf(() => sys().utimesat(root, 'f', 1e300, 0))).toBe('ERR_OUT_OF_RANGE')
    expect(codeOf(() => sys().utimesat(root, 'f', 0, 1e9))).toBe('ERR_OUT_OF_RANGE')
    expect(sys().statat(root, 'f')).toMatchObject({ uid: 0, gid: 0 })
  })

  test('the error of a path that is too long names the call', () => {
    expect(() => sys().mkdirat(root, 'x'.repeat(5000), 0o755)).toThrow(
      expect.objectContaining({ code: 'ENAMETOOLONG', syscall: 'mkdirat' }),
    )
  })
})

describe('files that are only read', () => {
  const { mapText, mapBytes } = native()
  const file = (content: Uint8Array) => {
    const path = join(folder, 'mapped')
    writeFileSync(path, content)
    return path
  }
  const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, index) => (index * 7) % 256))

  test('as a text each byte is a character', () => {
    const text = mapText(file(bytes))
    expect(text).toBe(bytes.toString('latin1'))
    expect(`${text}x`.slice(-2)).toBe(`${bytes.toString('latin1', bytes.length - 1)}x`)
  })

  test('as bytes they are what is in the file', () => {
    expect(mapBytes(file(bytes)).equals(bytes)).toBe(true)
  })

  test('what was mapped stays when another file takes the name', () => {
    const path = file(bytes)
    const [text, data] = [mapText(path), mapBytes(path)]
    writeFileSync(`${path}.new`, 'other')
    renameSync(`${path}.new`, path)
    expect(text).toBe(bytes.toString('latin1'))
    expect(data.equals(bytes)).toBe(true)
  })

  test('a file that is not there, or is empty, is an error with its path', () => {
    for (const map of [mapText, mapBytes]) {
      expect(() => map(join(folder, 'none'))).toThrow(expect.objectContaining({ code: 'ENOENT', path: join(folder, 'none') }))
      expect(() => map(file(Buffer.alloc(0)))).toThrow(expect.objectContaining({ code: 'EINVAL', syscall: 'mmap' }))
    }
  })
})

/** The calls that the loader of the bundle makes, which are no part of Sys. */
function native() {
  const module = { exports: {} }
  process.dlopen(module, join(nativeFolder(), 'sys.node'))
  return module.exports as { mapText(path: string): string; mapBytes(path: string): Buffer }
}

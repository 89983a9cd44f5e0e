import { constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { nativeFolder, sys } from '../../../src/base/sys.ts'
import * as c from '../../../src/base/sys-constants.ts'

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
  expect(codeOf(() => (sys() as unknown as { mkdirat(): void }).mkdirat())).toBe('ERR_MISSING_ARGS')
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

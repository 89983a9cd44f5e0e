import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { walkFolder } from '../../../src/sources/git/folder-walk.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-walk-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function found(top: string): Promise<string[]> {
  const names: string[] = []
  for await (const { path, type } of walkFolder(top)) names.push(`${type} ${path.toString('latin1').slice(folder.length + 1)}`)
  return names
}

/** What this process has open of the folder. */
function open(): string[] {
  return readdirSync('/proc/self/fd')
    .flatMap((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`)
      } catch {
        // That of the listing itself.
        return []
      }
    })
    .filter((target) => target.startsWith(folder))
}

test('everything once, a directory after what it holds; symlinks are not followed, names are bytes', async () => {
  const top = join(folder, 'tree')
  mkdirSync(join(top, 'a/b'), { recursive: true })
  mkdirSync(join(top, 'c'))
  for (const name of ['a/b/x', 'a/y', 'z']) writeFileSync(join(top, name), '')
  writeFileSync(Buffer.from(`${top}/c/\xff`, 'latin1'), '')
  symlinkSync('/', join(top, 'root'))
  const names = await found(top)
  expect([...names].sort()).toEqual([
    'directory tree',
    'directory tree/a',
    'directory tree/a/b',
    'directory tree/c',
    'file tree/a/b/x',
    'file tree/a/y',
    'file tree/c/\xff',
    'file tree/z',
    'other tree/root',
  ])
  const after = (directory: string, entry: string) => expect(names.indexOf(`directory ${directory}`)).toBeGreaterThan(names.indexOf(entry))
  after('tree/a/b', 'file tree/a/b/x')
  after('tree/a', 'directory tree/a/b')
  after('tree', 'file tree/z')
  expect(names.at(-1)).toBe('directory tree')
})

test('more entries than are looked at by one call', async () => {
  const top = join(folder, 'many')
  mkdirSync(top)
  for (let count = 0; count < 2500; count += 1) writeFileSync(join(top, `${count}`), '')
  expect(new Set(await found(top)).size).toBe(2501)
})

test('a directory that vanishes, or becomes a symlink, while it is walked is empty', async () => {
  const top = join(folder, 'vanishing')
  for (const name of ['one', 'two', 'three']) mkdirSync(join(top, name), { recursive: true })
  const names: string[] = []
  for await (const { path } of walkFolder(top)) {
    if (names.length === 0) {
      for (const name of ['one', 'two', 'three']) rmSync(join(top, name), { recursive: true })
      symlinkSync('/', join(top, 'one'))
    }
    names.push(path.toString())
  }
  expect(names.sort()).toEqual(['', '/one', '/three', '/two'].map((name) => top + name))
  expect(await found(join(top, 'nothing'))).toEqual([])
  expect(await found(join(top, 'one'))).toEqual(['other vanishing/one'])
})

test('a directory that vanishes between being opened and listed is empty', async () => {
  const top = join(folder, 'removed')
  mkdirSync(top)
  const fd = openSync(top, 'r')
  rmSync(top, { recursive: true })
  const names: string[] = []
  // As itself it can still be opened; to list it is ENOENT.
  for await (const { path } of walkFolder(`/proc/self/fd/${fd}/.`)) names.push(path.toString())
  closeSync(fd)
  expect(names).toEqual([`/proc/self/fd/${fd}/.`])
})

test('one that is not walked to its end leaves nothing open', async () => {
  const top = join(folder, 'left')
  mkdirSync(top)
  for (const name of ['a', 'b']) writeFileSync(join(top, name), '')
  for await (const _ of walkFolder(top)) {
    expect(open()).toEqual([top])
    break
  }
  expect(open()).toEqual([])
})

import { lstatSync, mkdirSync, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { sys } from '../../../src/base/sys.ts'
import { LayerOwners, OWNER_XATTR, type Owner, takeRunOwners } from '../../../src/store/layer-owners.ts'
import { parseIdMap } from '../../../src/values/id-map.ts'

const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
/** A namespace whose root is who runs this test. */
const SINGLE = { ...parseIdMap('0 1000 1', '0 1000 1'), onDisk: () => own }
const WHOLE = parseIdMap('', '')

let folder: string
let fs: string
let dirfd: number
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-owners-'))
  fs = join(folder, 'fs')
  mkdirSync(join(fs, 'd'), { recursive: true })
  writeFileSync(join(fs, 'f'), '')
  symlinkSync('f', join(fs, 'l'))
  dirfd = openSync(fs, 'r')
})
afterEach(() => {
  sys().close(dirfd)
  rmSync(folder, { recursive: true })
})

const file = (name: string) => ({ dirfd, name, key: name })
const shown = (owners: LayerOwners, name: string): Owner => {
  const { uid, gid } = owners.shown(sys().statat(dirfd, name), file(name))
  return { uid, gid }
}
const FOREIGN = { uid: 70000, gid: 42 }

describe('owners that cannot be on disk', () => {
  test('are kept of files, directories and symlinks, and read again', () => {
    const owners = LayerOwners.of(fs, SINGLE)
    for (const name of ['d', 'f', 'l']) owners.set(file(name), FOREIGN)
    owners.save()
    for (const reader of [owners, LayerOwners.of(fs, SINGLE)]) {
      expect(['d', 'f', 'l'].map((name) => shown(reader, name))).toEqual([FOREIGN, FOREIGN, FOREIGN])
    }
    expect(lstatSync(join(fs, 'f'))).toMatchObject(own)
  })

  test('an attribute means nothing in a layer whose owners are on disk', () => {
    sys().setxattrat(dirfd, 'f', OWNER_XATTR, Buffer.from('0:0'))
    const owners = LayerOwners.of(fs, SINGLE)
    expect([owners.active, shown(owners, 'f')]).toEqual([false, own])
    owners.activate()
    expect(shown(owners, 'f')).toEqual({ uid: 0, gid: 0 })
  })

  test.each(['', '1', '1:', '-1:2', '4294967295:0', '1:2:3', 'x'])('a RUN that writes %j into it has written nothing', (text) => {
    const owners = LayerOwners.of(fs, SINGLE)
    owners.activate()
    sys().setxattrat(dirfd, 'f', OWNER_XATTR, Buffer.from(text))
    expect(shown(owners, 'f')).toEqual(own)
  })

  test('where a file has an owner on disk that is not root, its attribute claims no other: a user may write it, or root gave the file away', () => {
    sys().setxattrat(dirfd, 'f', OWNER_XATTR, Buffer.from('0:70000'))
    const owners = LayerOwners.of(fs, parseIdMap('0 1000 1\n1 100000 65535', '0 1000 1\n1 100000 65535'))
    owners.activate()
    const stat = (uid: number, gid: number) => owners.shown({ ...sys().statat(dirfd, 'f'), uid, gid }, file('f'))
    expect(stat(0, 0)).toMatchObject({ uid: 0, gid: 70000 })
    expect(stat(5, 5)).toMatchObject({ uid: 5, gid: 5 })
    expect(stat(0, 5)).toMatchObject({ uid: 0, gid: 5 })
    sys().setxattrat(dirfd, 'f', OWNER_XATTR, Buffer.from('5:70000'))
    expect(stat(5, 0)).toMatchObject({ uid: 5, gid: 70000 })
  })

  test('an owner that can be on disk takes the other one’s place', () => {
    const owners = LayerOwners.of(fs, SINGLE)
    for (const name of ['f', 'l']) {
      owners.set(file(name), FOREIGN)
      owners.set(file(name), { uid: 0, gid: 0 })
    }
    owners.save()
    expect(['f', 'l'].map((name) => shown(LayerOwners.of(fs, SINGLE), name))).toEqual([own, own])
    expect(sys().getxattrat(dirfd, 'f', OWNER_XATTR)).toBeNull()
  })

  test('a second name has the first one’s; what is removed has none', () => {
    const owners = LayerOwners.of(fs, SINGLE)
    owners.below('d').set({ dirfd, name: 'l', key: 'l' }, FOREIGN)
    owners.link('m', 'd/l')
    expect(shown(owners, 'l')).toEqual(own)
    owners.forget('d')
    owners.save()
    sys().linkat(dirfd, 'l', dirfd, 'm', 0)
    expect(shown(LayerOwners.of(fs, SINGLE), 'm')).toEqual(FOREIGN)
    expect(LayerOwners.of(fs, SINGLE).below('d').shown(sys().statat(dirfd, 'l'), file('l'))).toMatchObject(own)
  })

  test('in a directory that is no layer they are dropped, and nothing is written beside it', () => {
    const owners = LayerOwners.of(join(fs, 'd'), SINGLE)
    owners.set(file('f'), FOREIGN)
    owners.save()
    expect([owners.active, sys().getxattrat(dirfd, 'f', OWNER_XATTR)]).toEqual([false, null])
    expect(() => lstatSync(join(fs, 'owners'))).toThrow('ENOENT')
  })

  test('where all ids are there nothing is asked', () => {
    writeFileSync(join(folder, 'owners'), 'not ours')
    expect(LayerOwners.of(fs, WHOLE).active).toBe(false)
  })

  test('what a RUN noted is read piece by piece: the last word on each path counts, an id that stays is that of the word before', () => {
    const notes = Array.from({ length: 30_000 }, (_, at) => `/d/${at % 100}\0${at % 2 === 0 ? `${at}:4294967295` : `4294967295:${at}`}\0`)
    writeFileSync(join(folder, 'run-owners'), notes.join(''))
    const found = takeRunOwners(fs)
    expect([found.size, found.get('d/98'), found.get('d/99')]).toEqual([100, { uid: 29_998, gid: -1 }, { uid: -1, gid: 29_999 }])
    expect(takeRunOwners(fs).size).toBe(0)
  })
})

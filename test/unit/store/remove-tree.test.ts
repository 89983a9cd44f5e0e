import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sys } from '../../../src/base/sys.ts'
import { removeTree } from '../../../src/store/remove-tree.ts'
import { testWith } from '../../support/needs.ts'

const AT_FDCWD = -100

describe('removing a tree that a RUN step made', () => {
  let folder: string
  let tree: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tbuild-remove-'))
    tree = join(folder, 'tree')
    mkdirSync(tree)
    writeFileSync(join(folder, 'victim'), 'mine')
    mkdirSync(join(folder, 'victims'))
    writeFileSync(join(folder, 'victims', 'file'), 'mine')
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  async function expectGone(): Promise<void> {
    expect(await removeTree(tree)).toEqual([])
    expect(existsSync(tree)).toBe(false)
    expect(readdirSync(folder).sort()).toEqual(['victim', 'victims'])
    expect(readFileSync(join(folder, 'victims', 'file'), 'utf8')).toBe('mine')
  }

  test('follows no symlink, at no level', async () => {
    symlinkSync('../victim', join(tree, 'file'))
    symlinkSync('../victims', join(tree, 'dir'))
    mkdirSync(join(tree, 'sub'))
    symlinkSync('../../victims', join(tree, 'sub', 'dir'))
    symlinkSync('missing', join(tree, 'dangling'))
    await expectGone()
  })

  test('a symlink in place of the tree is removed itself', async () => {
    rmSync(tree, { recursive: true })
    symlinkSync('victims', tree)
    await expectGone()
  })

  test('names that are not UTF-8, that look like options, fifos and directories without permissions', async () => {
    writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0xff, 0xfe, 0x0a])]), '')
    mkdirSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0x80])]))
    writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0x80]), Buffer.from('/x')]), '')
    writeFileSync(join(tree, '-rf'), '')
    execFileSync('mkfifo', [join(tree, 'fifo')])
    mkdirSync(join(tree, 'work'))
    writeFileSync(join(tree, 'work', 'x'), '')
    chmodSync(join(tree, 'work'), 0)
    chmodSync(tree, 0o500)
    await expectGone()
  })

  test('a tree deeper than any path may be, with few descriptors', async () => {
    // Paths end at 4096 bytes: one step at a time, by descriptors.
    let fd = sys().openat(AT_FDCWD, tree, constants.O_RDONLY, 0)
    for (let depth = 0; depth < 3000; depth++) {
      sys().mkdirat(fd, 'dddd', 0o700)
      const next = sys().openat(fd, 'dddd', constants.O_RDONLY | constants.O_DIRECTORY, 0)
      closeSync(sys().openat(next, 'f', constants.O_CREAT | constants.O_WRONLY, 0o600))
      closeSync(fd)
      fd = next
    }
    closeSync(fd)
    await expectGone()
  })

  test('lets other work go on meanwhile', async () => {
    execFileSync('sh', ['-c', 'seq 1 20000 | xargs touch'], { cwd: tree })
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    await expectGone()
    clearInterval(timer)
    expect(turns).toBeGreaterThan(0)
  })

  test('what is not there is no error', async () => {
    expect(await removeTree(join(folder, 'missing'))).toEqual([])
    expect(await removeTree(join(folder, 'missing', 'too'))).toEqual([])
  })

  const asRoot = testWith(process.getuid?.() === 0, 'root')
  asRoot('an unprivileged owner removes directories without permissions', async () => {
    chmodSync(folder, 0o755)
    execFileSync('chown', ['-R', '12345:12345', tree])
    mkdirSync(join(tree, 'a/b/c'), { recursive: true })
    writeFileSync(join(tree, 'a/b/c/file'), '')
    execFileSync('chown', ['-R', '12345:12345', folder])
    execFileSync('chmod', ['-R', '000', join(tree, 'a')])
    process.seteuid?.(12345)
    try {
      await expectGone()
    } finally {
      process.seteuid?.(0)
    }
  })

  asRoot('what the kernel refuses is left and told', async () => {
    writeFileSync(join(tree, 'immutable'), '')
    writeFileSync(join(tree, 'other'), '')
    try {
      execFileSync('chattr', ['+i', join(tree, 'immutable')], { stdio: 'ignore' })
    } catch {
      return // This file system has no such flag.
    }
    try {
      const failures = await removeTree(tree)
      expect(failures).toMatchObject([{ code: 'EPERM' }])
      expect(readdirSync(tree)).toEqual(['immutable'])
    } finally {
      execFileSync('chattr', ['-i', join(tree, 'immutable')])
    }
  })
})

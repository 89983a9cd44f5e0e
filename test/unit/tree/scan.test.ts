import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { jest } from '@jest/globals'
import type { Digest } from '../../../src/base/digest.ts'
import { sys } from '../../../src/base/sys.ts'
import { AT_FDCWD, O_DIRECTORY, O_PATH } from '../../../src/base/sys-constants.ts'
import { entriesOf, STAT_FIELDS, statOf } from '../../../src/base/sys-values.ts'
import { IgnoreMatcher } from '../../../src/dockerfile/dockerignore.ts'
import type { FileStat } from '../../../src/store/file-digests.ts'
import { hashSources, type KnownFiles, type KnownTrees } from '../../../src/tree/hash.ts'
import type { TreeNode, TreeScan, TreeView } from '../../../src/tree/types.ts'
import { directoryView, layeredView } from '../../../src/tree/view.ts'
import { temporary } from './folders.ts'

const { folder, shell } = temporary()

const whole = { path: '/', parents: false, exclude: [] }

/** Files of this second count when the clock has gone on. */
let later = 0
beforeEach(() => {
  later = 10_000
  const { now } = Date
  jest.spyOn(Date, 'now').mockImplementation(() => now() + later)
})
afterEach(() => jest.restoreAllMocks())

function paths(view: Pick<TreeView, 'children'> | TreeScan, top: TreeNode): string[] {
  return view.children(top).flatMap((node) => {
    if (typeof node === 'string') return [node]
    const line = `${node.path.toString('latin1')} ${node.type} ${node.stat.mode.toString(8)} ${node.stat.size}`
    return [line, ...(node.type === 'directory' ? paths(view, node) : [])]
  })
}

function remembering(): KnownTrees & { readonly found: string[]; readonly kept: Map<string, Digest> } {
  const kept = new Map<string, Digest>()
  const found: string[] = []
  return {
    ...{ found, kept },
    get(key) {
      const digest = kept.get(key)
      if (digest !== undefined) found.push(digest)
      return digest
    },
    set: (key, digest) => void kept.set(key, digest),
  }
}

/** Hashes with the memory and without, and tells whether the first asked files. */
async function hashed(
  trees: ReturnType<typeof remembering>,
  view: () => TreeView,
  options = {},
): Promise<{ known: boolean; digest: Digest }> {
  const before = trees.found.length
  const digest = await hashSources(view(), whole, { ...options, trees })
  expect(digest).toBe(await hashSources(view(), whole, options))
  return { known: trees.found.length > before, digest }
}

describe('scanEach', () => {
  test('gives names sorted by bytes with their stats; what is no directory, away, or behind a symlink is undefined', async () => {
    const top = folder('top')
    shell(
      `mkdir -p a/b empty; touch a/z a/aa "a/$(printf 'n\\nl')" "a/$(printf '\\377')"; ln -s a link; mkfifo a/fifo; printf 12345 > a/b/f`,
      top,
    )
    const fd = sys().openat(AT_FDCWD, top, O_PATH | O_DIRECTORY, 0)
    const names = ['a', 'empty', 'link', 'none', 'a/z', 'link/b', 'a/b', '..', '/', 'a/../a'].map((path) => Buffer.from(path))
    const found = await sys().scanEach(fd, names)
    sys().close(fd)
    const listed = found.map((one) => one && entriesOf(one.names).map(({ name }) => name.toString('latin1')))
    const none = undefined
    expect(listed).toEqual([
      ['aa', 'b', 'fifo', 'n\nl', 'z', 'ÿ'],
      [],
      none,
      none,
      none,
      none,
      ['f'],
      none,
      none,
      ['aa', 'b', 'fifo', 'n\nl', 'z', 'ÿ'],
    ])
    expect(statOf(found[6]?.stats as Float64Array)).toEqual(sys().statat(AT_FDCWD, join(top, 'a/b/f')))
    expect(found[0]?.stats.length).toBe(6 * STAT_FIELDS)
  })

  test('takes no path that is empty or too long', async () => {
    for (const path of ['', 'x'.repeat(5000)]) {
      await expect(sys().scanEach(AT_FDCWD, [Buffer.from(path)])).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' })
    }
  })
})

describe('a scan', () => {
  test('shows what the view shows', async () => {
    const top = folder('top')
    const long = 'n'.repeat(255)
    shell(
      `mkdir -p a/b/c ign/x keep/deep; touch a/1 a/b/2 a/b/c/3 ign/x/4 ign/5 keep/deep/6 ${long}; ln -s / out; ln -s a in; mkfifo p; touch "$(printf '\\200\\n')"`,
      top,
    )
    const ignore = IgnoreMatcher.parse('.dockerignore', 'ign\n!ign/5\nkeep\na/b/2\n')
    for (const options of [{}, { ignore }, { mode: (mode: number) => mode | 0o111 }]) {
      const view = directoryView(top, options)
      const scan = await view.scan?.(view.root)
      expect(scan && paths(scan, view.root)).toEqual(paths(view, view.root))
      const below = view.resolve('a') as TreeNode
      const scanned = await view.scan?.(below)
      expect(scanned && paths(scanned, below)).toEqual(paths(view, below))
    }
  })

  test('is of one directory of the host only', async () => {
    const layer = folder('layer')
    const view = layeredView([layer])
    expect(await view.scan?.(view.root)).toBeUndefined()
  })

  test('of a tree deeper than a path of the kernel shows all of it, and has no digest', async () => {
    const top = folder('top')
    const name = 'd'.repeat(200)
    execFileSync('python3', ['-c', `import os\nfor _ in range(30):\n  os.mkdir('${name}'); os.chdir('${name}')\nopen('f','w').close()`], {
      cwd: top,
    })
    const view = directoryView(top)
    const scan = await view.scan?.(view.root)
    expect(scan && paths(scan, view.root).length).toBe(31)
    expect(scan?.digest).toBeUndefined()
    execFileSync('rm', ['-rf', top])
  })
})

/** A view as one that cannot be scanned. */
function unscanned(view: TreeView): TreeView {
  return new Proxy(view, {
    get(target, member) {
      const value = member === 'scan' ? undefined : Reflect.get(target, member, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** Digests of files by all of their stat. */
function knowing(): KnownFiles & { readonly kept: Map<string, string> } {
  const kept = new Map<string, string>()
  const keyOf = ({ dev, ino, size, mtimeSeconds, mtimeNanoseconds, ctimeSeconds, ctimeNanoseconds }: FileStat) =>
    [dev, ino, size, mtimeSeconds, mtimeNanoseconds, ctimeSeconds, ctimeNanoseconds].join()
  return {
    kept,
    get: (stat) => kept.get(keyOf(stat)),
    set: (stat, digest) => void kept.set(keyOf(stat), digest),
  }
}

test('a tree that was scanned has the text of one that was walked, whatever of it is known', async () => {
  const top = folder('top')
  shell(
    `mkdir -p a/b/c a-b empty skip/in; for n in 1 2 3 4 5; do echo $n > a/$n; echo $n > a/b/$n; echo $n > a-b/$n; done; touch skip/x skip/in/y
     head -c 200000 /dev/zero > a/large; ln a/1 a/b/again; ln -s /etc/passwd a/out; ln -s . a/b/loop; mkfifo p; touch "$(printf 'n\\nl')" "$(printf '\\377')"
     touch ${'l'.repeat(255)}; setfattr -n user.x -v 1 a/2; setfattr -n user.x -v 1 a/b/c; chmod 4755 a/3`,
    top,
  )
  const ignore = IgnoreMatcher.parse('.dockerignore', 'skip\n!skip/in/y\na/b/4\n')
  for (const options of [{}, { ignore }, { mode: (mode: number) => mode | 0o111 }]) {
    const files = knowing()
    const texts: string[] = []
    const hash = async (view: TreeView, known?: KnownFiles) => {
      const listing: string[] = []
      await hashSources(view, whole, { listing, ...(known === undefined ? {} : { files: known }) })
      texts.push(listing.join(''))
    }
    await hash(unscanned(directoryView(top, options)))
    await hash(directoryView(top, options))
    await hash(directoryView(top, options), files)
    expect(files.kept.size).toBeGreaterThan(10)
    await hash(directoryView(top, options), files)
    for (const key of [...files.kept.keys()].filter((_, index) => index % 3 === 0)) files.kept.delete(key)
    await hash(directoryView(top, options), files)
    expect(new Set(texts).size).toBe(1)
  }
})

describe('a known tree', () => {
  const made = () => {
    const top = folder('top')
    shell('mkdir -p a/b; echo 1 > a/1; echo 2 > a/b/2; ln -s 1 a/link; chmod -R 755 .', top)
    return top
  }

  // Each of them can be undone without a trace in the content, and is not in the stat of any other file.
  const changes: readonly [string, (top: string) => void][] = [
    [
      'content of the same size, with the time of before',
      (top) => {
        writeFileSync(join(top, 'a/1'), '9\n')
        utimesSync(join(top, 'a/1'), 1, 1)
      },
    ],
    ['a mode', (top) => chmodSync(join(top, 'a/b/2'), 0o600)],
    ['the mode of a directory', (top) => chmodSync(join(top, 'a/b'), 0o700)],
    ['the mode of the directory itself', (top) => chmodSync(top, 0o700)],
    ['a name', (top) => renameSync(join(top, 'a/1'), join(top, 'a/3'))],
    ['a new empty directory', (top) => mkdirSync(join(top, 'a/b/new'))],
    ['a file that went', (top) => rmSync(join(top, 'a/b/2'))],
    [
      'the target of a link',
      (top) => {
        rmSync(join(top, 'a/link'))
        symlinkSync('2', join(top, 'a/link'))
      },
    ],
    ['an attribute', (top) => execFileSync('setfattr', ['-n', 'user.x', '-v', '1', join(top, 'a/1')])],
    ['an attribute of a directory', (top) => execFileSync('setfattr', ['-n', 'user.x', '-v', '1', join(top, 'a/b')])],
  ]
  test.each(changes)('is another after a change of %s', async (_what, change) => {
    const top = made()
    const trees = remembering()
    const view = () => directoryView(top)
    const first = await hashed(trees, view)
    expect(first.known).toBe(false)
    expect(await hashed(trees, view)).toEqual({ known: true, digest: first.digest })
    change(top)
    const after = await hashed(trees, view)
    expect(after.known).toBe(false)
    expect(after.digest).not.toBe(first.digest)
    expect((await hashed(trees, view)).known).toBe(true)
  })

  test('is known by what of it is shown: ignore file, owners, where it is', async () => {
    const top = made()
    const trees = remembering()
    const ignore = (text: string) => IgnoreMatcher.parse('.dockerignore', text)
    const results = [
      await hashed(trees, () => directoryView(top)),
      await hashed(trees, () => directoryView(top, { ignore: ignore('a/b\n') })),
      await hashed(trees, () => directoryView(top, { ignore: ignore('a/1\n') })),
      await hashed(trees, () => directoryView(top), { resetOwner: true }),
    ]
    expect(results.map(({ known }) => known)).toEqual([false, false, false, false])
    expect((await hashed(trees, () => directoryView(top, { ignore: ignore('# the same\na/1\n') }))).known).toBe(true)
    const below = (path: string) => hashSources(directoryView(top, { ignore: ignore('b/2\n') }), { ...whole, path }, { trees })
    shell('cp -a a/b b', top)
    expect(await below('a/b')).not.toBe(await below('b'))
  })

  test('is not kept while its files can change without another stamp, nor with modes that are shown as others', async () => {
    const top = made()
    const trees = remembering()
    await hashed(trees, () => directoryView(top, { mode: () => 0o100755 }))
    later = 0
    await hashed(trees, () => directoryView(top))
    expect(trees.kept.size).toBe(0)
    utimesSync(join(top, 'a/b'), 4e9, 4e9)
    later = 20_000
    await hashed(trees, () => directoryView(top))
    expect(trees.kept.size).toBe(0)
  })

  test('a part of a directory, or several, is none', async () => {
    const top = made()
    const trees = remembering()
    const view = directoryView(top)
    for (const selector of [
      { ...whole, exclude: ['b'] },
      { ...whole, path: '*' },
      { ...whole, path: 'a/1' },
      { path: 'a', exact: true, parents: true, exclude: [] },
      { path: 'a', parents: true, exclude: [] },
    ]) {
      await hashSources(view, selector, { trees })
    }
    expect([...trees.kept.values()]).toEqual([await hashSources(view, { ...whole, path: 'a' })])
  })
})

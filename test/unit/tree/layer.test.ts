import { execFileSync } from 'node:child_process'
import { closeSync, readFileSync as readFd, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { sha256 } from '../../../src/base/digest.ts'
import { IgnoreMatcher } from '../../../src/dockerfile/dockerignore.ts'
import type { MatchState } from '../../../src/go/pattern-matcher.ts'
import type { TarItem } from '../../../src/tar/types.ts'
import { copyInto } from '../../../src/tree/copy.ts'
import { layerChanges } from '../../../src/tree/diff.ts'
import { makeDirectories } from '../../../src/tree/directories.ts'
import { hashSources, parseListing } from '../../../src/tree/hash.ts'
import { lookupOwner } from '../../../src/tree/owner.ts'
import type { TreeView } from '../../../src/tree/types.ts'
import { unpackLayer } from '../../../src/tree/unpack.ts'
import { directoryView, layeredView } from '../../../src/tree/view.ts'
import { layerWriter } from '../../../src/tree/writer.ts'
import { codeOf, entries, listing, temporary } from './folders.ts'

const { folder, shell } = temporary()

/** Runs a script in a real mount of overlayfs (in a mount namespace of its own) at $PWD. */
function inOverlay(lower: readonly string[], upper: string, script: string): string {
  const work = folder('work')
  const target = folder('merged')
  const options = `lowerdir=${[...lower].reverse().join(':')},upperdir=${upper},workdir=${work},redirect_dir=off,index=off,metacopy=off`
  const run = `mount -t overlay overlay -o ${options} ${target}; cd ${target}; ${script}`
  return execFileSync('unshare', ['-m', 'sh', '-euc', run], { encoding: 'latin1' })
}

const FIND = `find . -mindepth 1 \\( -type l -printf '%P l %m %U:%G -> %l\\n' \\) -o \\( -type f -printf '%P f %m %U:%G %s\\n' \\) -o -printf '%P %y %m %U:%G\\n' | LC_ALL=C sort`
const TYPES: Record<string, string> = { directory: 'd', file: 'f', symlink: 'l', fifo: 'p', character: 'c', block: 'b', socket: 's' }
const asFind = (view: TreeView) =>
  listing(view)
    .map((line) => line.replace(/ (directory|file|symlink|fifo|character|block|socket) /, (_, type: string) => ` ${TYPES[type]} `))
    .sort()

async function collect(upper: string, lower: TreeView): Promise<TarItem[]> {
  const items: TarItem[] = []
  for await (const { entry, open } of layerChanges(upper, lower)) {
    const data = open === undefined ? Buffer.alloc(0) : read(open())
    items.push({
      entry,
      content: (async function* () {
        yield data
      })(),
    })
  }
  return items
}
function read(fd: number): Buffer {
  try {
    return readFd(fd)
  } finally {
    closeSync(fd)
  }
}
const names = async (upper: string, lower: TreeView) =>
  (await collect(upper, lower)).map(({ entry }) => `${entry.name.toString('latin1')} ${entry.type}`)
async function* stream(items: readonly TarItem[]) {
  yield* items
}

const BASE = `umask 022; mkdir -p a/b/c keep/x gone opq/old swap dirfile; echo 1 > a/b/c/f; echo 2 > a/g; echo 3 > keep/x/y; echo 4 > gone/h; echo 5 > opq/old/i
  echo 6 > opq/j; echo 7 > swap/k; echo 8 > dirfile/l; echo 9 > filedir; ln a/g a/hard; ln -s a link; chmod 2751 keep; chown 12:34 keep/x
  printf x > "$(printf 'bad\\377name')"`
const CHANGE = `echo new > a/b/c/n; rm -r gone; rm a/g; rm -r opq; mkdir opq; echo o > opq/fresh; rm -r dirfile; echo now > dirfile; rm filedir; mkdir filedir
  echo in > filedir/z; chmod 700 keep; rm link; ln -s keep link; mv swap/k swap/m; mkfifo fifo; ln a/b/c/n a/second; rm keep/x/y; echo back > keep/x/y`

test('L4 the view of layer directories is what a mount of overlayfs shows', () => {
  const [base, first, second] = [folder('base'), folder('first'), folder('second')]
  shell(BASE, base)
  inOverlay([base], first, CHANGE)
  const shown = inOverlay(
    [base, first],
    second,
    `rm -r opq a/b; mkdir -p opq/old a/b; echo 1 > opq/old/q; mv dirfile dirfile2; rm filedir/z; ${FIND}`,
  )
  expect(asFind(layeredView([base, first, second]))).toEqual(shown.trim().split('\n').sort())
})

test('the writer leaves what a mount of overlayfs shows as its merged view', async () => {
  const [base, upper] = [folder('base'), folder('upper')]
  shell(BASE, base)
  const writer = layerWriter(upper, layeredView([base]))
  writer.remove('gone')
  writer.remove('a/g')
  writer.directory('opq', 0o755)
  writer.remove('dirfile')
  writer.symlink('dirfile', Buffer.from('x'))
  makeDirectories(writer, '/link/b/deep/er')
  await writer.link('keep/linked', writer.resolve('a/b/c/f') as never, async (from, to) => writeFileSync(to, readFd(from)))
  const merged = asFind(writer)
  writer.finish()
  expect(asFind(layeredView([base, upper]))).toEqual(merged)
  expect(inOverlay([base], upper, FIND).trim().split('\n').sort()).toEqual(merged)
  expect(merged).toContain('keep d 2751 0:0')
  expect(merged.filter((line) => /^(gone|opq\/|a\/g )/.test(line))).toEqual([])
})

test('L1 L2 L3 L6 the members of a layer: parents, whiteouts, opaque directories expanded, links, nothing unchanged', async () => {
  const [base, upper] = [folder('base'), folder('upper')]
  shell(BASE, base)
  inOverlay([base], upper, CHANGE)
  expect(await names(upper, layeredView([base]))).toEqual([
    ...['a directory', 'a/b directory', 'a/b/c directory', 'a/b/c/n file', 'a/.wh.g file', 'a/second link'],
    ...[
      'dirfile file',
      'fifo fifo',
      'filedir directory',
      'filedir/z file',
      '.wh.gone file',
      'keep directory',
      'keep/x directory',
      'keep/x/y file',
    ],
    ...[
      'link symlink',
      'opq directory',
      'opq/fresh file',
      'opq/.wh.j file',
      'opq/.wh.old file',
      'swap directory',
      'swap/.wh.k file',
      'swap/m file',
    ],
  ])
})

test('L6 of a file of a lower layer that gets new names the old ones stay where they are, as in the layers of BuildKit', async () => {
  const [base, upper] = [folder('base'), folder('upper')]
  shell('umask 022; mkdir d z; echo 1 > d/a; echo 2 > z/y; echo 3 > alone', base)
  inOverlay([base], upper, 'ln d/a b; ln d/a d/c; ln z/y a; chmod 644 alone')
  const items = await collect(upper, layeredView([base]))
  expect(items.map(({ entry }) => `${entry.name} ${entry.type} ${entry.linkname ?? ''}`.trim())).toEqual([
    ...['a file', 'b file', 'd directory', 'd/c link b'],
  ])
})

test('L6 below an opaque directory a new name brings the old ones along; those that come before the first changed one are links to it', async () => {
  const [base, upper, again] = [folder('base'), folder('upper'), folder('again')]
  shell('umask 022; mkdir h; echo 1 > h/f; ln h/f h/z', base)
  inOverlay([base], upper, 'mv h h2; mkdir h; mv h2/f h2/z h; rmdir h2; ln h/f h/g; ln h/f y')
  const lower = layeredView([base])
  const items = await collect(upper, lower)
  expect(items.map(({ entry }) => `${entry.name} ${entry.type} ${entry.linkname ?? ''}`.trim())).toEqual([
    ...['h directory', 'h/g file', 'h/f link h/g', 'h/z link h/g', 'y link h/g'],
  ])
  await unpackLayer(stream(items), layerWriter(again, lower))
  const inode = (path: string) => layeredView([base, again]).resolve(path)?.stat.ino
  expect(inode('h/f')).toBe(inode('y'))
})

test('L1 a layer unpacked over its base is the tree again, times in whole seconds', async () => {
  const [base, upper, again] = [folder('base'), folder('upper'), folder('again')]
  shell(BASE, base)
  inOverlay([base], upper, CHANGE)
  const lower = layeredView([base])
  await unpackLayer(stream(await collect(upper, lower)), layerWriter(again, lower))
  expect(listing(layeredView([base, again]))).toEqual(listing(layeredView([base, upper])))
  expect(await names(again, lower)).toEqual(await names(upper, lower))
})

test('unpack: opaque and plain whiteouts hide the layers below and nothing of their own', async () => {
  const base = folder('base')
  shell(BASE, base)
  const upper = folder('upper')
  const list = entries(
    { name: 'opq/new' },
    { name: 'opq/.wh..wh..opq' },
    { name: 'keep/.wh.x' },
    { name: 'keep/x', type: 'directory', mode: 0o755 },
    { name: 'a/.wh.g' },
  )
  await unpackLayer(list, layerWriter(upper, layeredView([base])))
  const shown = listing(layeredView([base, upper])).map((line) => line.split(' ')[0])
  expect(shown.filter((path) => path?.startsWith('opq'))).toEqual(['opq', 'opq/new'])
  expect(shown.filter((path) => path?.startsWith('keep'))).toEqual(['keep', 'keep/x'])
  expect(shown).not.toContain('a/g')
  expect(shown).toContain('a/hard')
})

test('unpack: a layer is applied by itself: what is below a symlink of the layers below makes a directory, with owner and mode of where it led', async () => {
  const base = folder('base')
  shell(
    'mkdir -m 1775 -p usr/bin; chown 7:8 usr/bin; echo sh > usr/bin/sh; ln -s usr/bin bin; mkdir -m 700 d; echo 1 > f; ln -s usr/bin late',
    base,
  )
  const upper = folder('upper')
  const list = entries(
    { name: 'bin/x', data: 'x' },
    { name: 'own', type: 'symlink', linkname: 'usr/bin' },
    { name: 'own/y', data: 'yy' },
    { name: 'd/z' },
    { name: 'f/g' },
    { name: 'own/h', type: 'link', linkname: 'own/y' },
    { name: 'own/.wh.sh' },
  )
  await unpackLayer(list, layerWriter(upper, layeredView([base])))
  expect(listing(layeredView([base, upper]))).toEqual([
    'bin directory 1775 7:8',
    'bin/x file 644 0:0 1',
    'd directory 700 0:0',
    'd/z file 644 0:0 0',
    'f directory 755 0:0',
    'f/g file 644 0:0 0',
    'late symlink 777 0:0 -> usr/bin',
    'own symlink 777 0:0 -> usr/bin',
    'usr directory 755 0:0',
    'usr/bin directory 1775 7:8',
    'usr/bin/h file 644 0:0 2',
    'usr/bin/y file 644 0:0 2',
  ])
})

test('unpack: setuid survives chown, directory times survive their contents, xattrs are binary', async () => {
  const upper = folder('upper')
  const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex')
  const list = entries(
    { name: 'd', type: 'directory', mode: 0o1777, mtime: 5 },
    {
      name: 'd/su',
      mode: 0o6755,
      uid: 1000,
      gid: 2000,
      data: 'x',
      mtime: 7,
      mtimeNanoseconds: 9,
      xattrs: new Map([['security.capability', capability]]),
    },
  )
  await unpackLayer(list, layerWriter(upper, layeredView([])))
  const view = layeredView([upper])
  expect(listing(view, { times: true })).toEqual(['d directory 1777 0:0 5.0', 'd/su file 6755 1000:2000 1 7.9'])
  expect(view.xattrs(view.resolve('d/su') as never).get('security.capability')).toEqual(capability)
})

test('unpack: the owner, mode and time of a hard link entry are those of the file from then on; of a linked symlink the owner', async () => {
  const upper = folder('upper')
  const link = (name: string, linkname: string) => ({ name, type: 'link' as const, linkname, uid: 8, gid: 9, mode: 0o4700, mtime: 11 })
  const list = entries(
    { name: 'f', mode: 0o644, uid: 1, gid: 2, data: 'x', mtime: 7 },
    { name: 's', type: 'symlink', linkname: 'f', uid: 3, gid: 3, mtime: 7 },
    link('h', 'f'),
    link('t', 's'),
  )
  await unpackLayer(list, layerWriter(upper, layeredView([])))
  expect(listing(layeredView([upper]), { times: true })).toEqual([
    'f file 4700 8:9 1 11.0',
    'h file 4700 8:9 1 11.0',
    's symlink 777 8:9 -> f 7.0',
    't symlink 777 8:9 -> f 7.0',
  ])
})

const segment = fc.constantFrom('a', 'b', 'c.txt', '\xff', 'd e')
const operation = fc.record({
  path: fc.array(segment, { minLength: 1, maxLength: 4 }),
  kind: fc.constantFrom('file', 'directory', 'symlink', 'remove'),
  mode: fc.constantFrom(0o644, 0o755, 0o4711, 0o600),
})

test('property: a random tree copied, made a layer and unpacked is equal', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 25 }), fc.array(operation, { maxLength: 25 }), async (first, second) => {
      const [base, upper, again, copied] = [folder(), folder(), folder(), folder()]
      scribble(base, layeredView([]), first)
      scribble(upper, layeredView([base]), second)
      const lower = layeredView([base])
      const merged = layeredView([base, upper])
      await unpackLayer(stream(await collect(upper, lower)), layerWriter(again, lower))
      expect(listing(layeredView([base, again]))).toEqual(listing(merged))
      const source = { kind: 'path', view: merged, path: '/', unpack: false, resetOwner: false } as const
      await copyInto(layerWriter(copied, layeredView([])), {
        sources: [source],
        destination: '/',
        link: false,
        parents: false,
        exclude: [],
      })
      expect(listing(layeredView([copied]), { times: true })).toEqual(listing(merged, { times: true }))
      const whole = { path: '/', parents: false, exclude: [] }
      expect(await hashSources(layeredView([copied]), whole)).toBe(await hashSources(merged, whole))
    }),
    { numRuns: 60 },
  )
}, 60_000)

function scribble(upper: string, lower: TreeView, operations: readonly { path: string[]; kind: string; mode: number }[]): void {
  const writer = layerWriter(upper, lower)
  for (const { path, kind, mode } of operations) {
    const key = path.join('/')
    try {
      makeDirectories(writer, Buffer.from(path.slice(0, -1).join('/'), 'latin1'))
      if (writer.resolve(Buffer.from(path.slice(0, -1).join('/'), 'latin1'))?.type !== 'directory') continue
      if (kind === 'remove') writer.remove(key)
      else if (kind === 'symlink') writer.symlink(key, Buffer.from('nowhere'))
      else if (kind === 'directory') writer.directory(key, mode)
      else {
        const fd = writer.file(key)
        writeFileSync(fd, key)
        closeSync(fd)
        writer.setMetadata(key, 'file', { mode, uid: 3, gid: 4, time: { seconds: 1000, nanoseconds: 5 } })
      }
    } catch (error) {
      // A file in the way of a directory, or a parent that is a symlink.
      if (!['NOT_A_DIRECTORY', 'ENOTDIR'].includes((error as { code: string }).code)) throw error
    }
  }
  writer.finish()
}

describe('content digests', () => {
  const context = folder('context')
  shell('umask 022; mkdir -p d/s; echo 1 > d/f; echo 2 > d/s/g; echo 3 > one.txt; cp -r d e', context)
  const digest = (path: string, more: object = {}) =>
    hashSources(directoryView(context), { path, parents: false, exclude: [], ...more }, { resetOwner: true })

  test('K7 the path to a directory does not count, the base name of a file does', async () => {
    expect(await digest('d')).toBe(await digest('e/'))
    expect(await digest('d/f')).toBe(await digest('e/f'))
    expect(await digest('d/f')).not.toBe(await digest('d/s/g'))
  })
  test('K8 times do not count, bytes, modes and names do', async () => {
    const before = await digest('d')
    shell('touch -d 1999-01-01 d/f', context)
    expect(await digest('d')).toBe(before)
    shell('chmod 600 d/f', context)
    expect(await digest('d')).not.toBe(before)
    shell('chmod 644 d/f; echo 9 > d/f', context)
    expect(await digest('d')).not.toBe(before)
    shell('echo 1 > d/f; mv d/s/g d/s/h', context)
    expect(await digest('d')).not.toBe(before)
    shell('mv d/s/h d/s/g', context)
    expect(await digest('d')).toBe(before)
  })
  test('K11 a renamed match of a wildcard is another key', async () => {
    const before = await digest('*.txt')
    shell('mv one.txt two.txt', context)
    expect(await digest('*.txt')).not.toBe(before)
  })
  test('F9 a wildcard that matches a dangling symlink fails, as with Docker 28.5', async () => {
    shell('ln -s nowhere zdangling', context)
    expect(await codeOf(digest('z*'))).toBe('COPY_SOURCE_NOT_FOUND')
  })
  test('F23 what is excluded does not count', async () => {
    const before = await digest('d', { exclude: ['f'] })
    shell('echo changed > d/f', context)
    expect(await digest('d', { exclude: ['f'] })).toBe(before)
  })
  test('the files tell which one changed', async () => {
    const listing: string[] = []
    const result = await hashSources(directoryView(context), { path: 'd', parents: false, exclude: [] }, { listing })
    expect(parseListing(listing.join('')).map(({ path }) => path)).toEqual(['', 'f', 's', 's/g'])
    expect(sha256(Buffer.from(listing.join(''), 'latin1'))).toBe(result)
  })
})

test('D4 an excluded directory exists for what is taken back in it', () => {
  const context = folder('context')
  shell('mkdir -p x/y z; touch x/y/in x/out z/out top', context)
  const ignore = IgnoreMatcher.parse('.dockerignore', '*\n!x/y/in\n!top\n')
  expect(listing(directoryView(context, { ignore })).map((line) => line.split(' ')[0])).toEqual(['top', 'x', 'x/y', 'x/y/in'])
  expect(directoryView(context, { ignore }).resolve('z')).toBeUndefined()
})

test('D3 a pattern that was passed over for a directory does not cover its children', () => {
  const context = folder('context')
  shell('mkdir -p d/b; touch d/b/f d/c', context)
  const ignore = IgnoreMatcher.parse('.dockerignore', 'd/b\n!d\n')
  expect(listing(directoryView(context, { ignore })).map((line) => line.split(' ')[0])).toEqual(['d', 'd/c'])
})

test('D4 an excluded directory that no `!` pattern reaches into is not read', () => {
  const context = folder('context')
  shell('mkdir -p node_modules/a other; touch node_modules/a/f other/in', context)
  const matcher = IgnoreMatcher.parse('.dockerignore', 'node_modules\nother\n!other/in\n')
  const asked: string[] = []
  const ignore = {
    step: (path: Uint8Array, parent?: MatchState) => {
      asked.push(Buffer.from(path).toString())
      return matcher.step(path, parent)
    },
    mayReinclude: (path: Uint8Array) => matcher.mayReinclude(path),
    identity: matcher.identity,
  }
  expect(listing(directoryView(context, { ignore })).map((line) => line.split(' ')[0])).toEqual(['other', 'other/in'])
  expect(asked.filter((path) => path.startsWith('node_modules/'))).toEqual([])
})

test('F16 F17 F18 owners by name', () => {
  const root = folder('root')
  shell(`mkdir etc; printf 'root:x:0:0::/:\\nweb:x:33:44::/:\\n' > etc/passwd; printf 'staff:x:50:\\n' > etc/group`, root)
  const owner = (text: string) => Object.values(lookupOwner(layeredView([root]), text)).join(':')
  const table = {
    5: '5:5',
    web: '33:44',
    'web:staff': '33:50',
    '7:staff': '7:50',
    nobody: '0:0',
    'web:none': '33:44',
    '7:none': '7:7',
    'web:': '33:0',
    '1:2': '1:2',
  }
  for (const [text, expected] of Object.entries(table)) expect([text, owner(text)]).toEqual([text, expected])
})

test('W2 makeDirectories: existing ones untouched, a file in the way is an error', async () => {
  const base = folder('base')
  shell('mkdir -m 700 a; touch f; ln -s /a l', base)
  const upper = folder('upper')
  const writer = layerWriter(upper, layeredView([base]))
  expect(makeDirectories(writer, '/l/b/c', { uid: 5, gid: 6, createdTime: 100 })).toBe('a/b/c')
  expect(await codeOf(() => makeDirectories(writer, '/f/x'))).toBe('NOT_A_DIRECTORY')
  writer.finish()
  expect(listing(layeredView([upper]))).toEqual(['a directory 700 0:0', 'a/b directory 755 5:6', 'a/b/c directory 755 5:6'])
  expect(layeredView([upper]).resolve('a/b/c')?.stat.mtimeSeconds).toBe(100)
})

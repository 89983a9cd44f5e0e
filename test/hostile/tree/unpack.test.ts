import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { copyInto } from '../../../src/tree/copy.ts'
import { layerChanges } from '../../../src/tree/diff.ts'
import { lookupOwner } from '../../../src/tree/owner.ts'
import { readFileInRoot } from '../../../src/tree/read.ts'
import type { CopySource } from '../../../src/tree/types.ts'
import { unpackArchive, unpackLayer } from '../../../src/tree/unpack.ts'
import { directoryView, layeredView } from '../../../src/tree/view.ts'
import { layerWriter } from '../../../src/tree/writer.ts'
import { codeOf, entries, type Loose, listing, temporary } from '../../unit/tree/folders.ts'

const { folder, shell } = temporary()

/** An upper directory beside a file that must stay as it is. */
function target(lower: string[] = []) {
  const top = folder('root')
  shell('mkdir dest dest-evil; echo precious > secret; echo precious > dest-evil/secret', top)
  const upper = join(top, 'dest')
  const writer = layerWriter(upper, layeredView(lower))
  const unharmed = () => {
    expect(readFileSync(join(top, 'secret'), 'utf8')).toBe('precious\n')
    expect(shell('ls; ls dest-evil', top).split('\n')).toEqual(['dest', 'dest-evil', 'secret', 'secret', ''])
    expect(shell('stat -c %a:%u secret', top)).toBe('644:0\n')
  }
  const unpack = (...list: readonly Loose[]) => codeOf(unpackLayer(entries(...list), writer))
  return { top, upper, unpack, unharmed }
}

test('a symlink or a file as the root entry of an ADD is passed over', async () => {
  const { upper, unharmed } = target()
  const items = entries({ name: '', type: 'symlink', linkname: '/etc' }, { name: './', type: 'file', data: 'x' }, { name: 'f', data: 'y' })
  expect(await codeOf(unpackArchive(items, layerWriter(upper, layeredView([])), { target: '' }))).toBeUndefined()
  expect(readFileSync(join(upper, 'f'), 'utf8')).toBe('y')
  unharmed()
})

test.each(['../secret', '/../secret', 'a/../../secret', '..', '../dest-evil/secret', 'a/../../dest-evil/secret'])(
  'name %s is refused',
  async (name) => {
    const { unpack, unharmed } = target()
    expect(await unpack({ name, data: 'x' })).toBe('ARCHIVE_REFUSED')
    unharmed()
  },
)

test.each(['..', '../..', '/', '../dest-evil'])('a file written through a symlink to %s stays inside', async (linkname) => {
  const { unpack, unharmed, upper } = target()
  expect(await unpack({ name: 'out', type: 'symlink', linkname }, { name: 'out/secret', data: 'x' })).toBeUndefined()
  expect(existsSync(upper)).toBe(true)
  unharmed()
})

test('a file replaces a symlink and is not written through it', async () => {
  const { unpack, unharmed, upper, top } = target()
  expect(await unpack({ name: 'f', type: 'symlink', linkname: join(top, 'secret') }, { name: 'f', data: 'x', mode: 0o777 })).toBeUndefined()
  expect(readFileSync(join(upper, 'f'), 'utf8')).toBe('x')
  unharmed()
})

test('symlink as the root entry, root stays the root', async () => {
  const { unpack, unharmed } = target()
  expect(await unpack({ name: '', type: 'symlink', linkname: '/etc' })).toBe('ARCHIVE_REFUSED')
  expect(await unpack({ name: '.', type: 'file', data: 'x' })).toBe('ARCHIVE_REFUSED')
  unharmed()
})

test.each(['../secret', '/../secret', 'a/../../secret', '../dest-evil/secret', ''])('hard link to %s is refused', async (linkname) => {
  const { unpack, unharmed } = target()
  expect(await unpack({ name: 'l', type: 'link', linkname })).toBe('ARCHIVE_REFUSED')
  unharmed()
})

test('hard link through a symlink out of the root finds nothing of the host', async () => {
  const { unpack, unharmed, top } = target()
  const list = [
    { name: 'up', type: 'symlink', linkname: top },
    { name: 'l', type: 'link', linkname: 'up/secret' },
  ] as const
  expect(await unpack(...list)).toBe('ARCHIVE_REFUSED')
  unharmed()
})

test('CVE-2026-26960: chained symlinks, then a hard link', async () => {
  const { unpack, unharmed } = target()
  const list = [
    { name: 'a/b/c/up', type: 'symlink', linkname: '../..' },
    { name: 'a/b/escape', type: 'symlink', linkname: 'c/up/../..' },
    { name: 'exfil', type: 'link', linkname: 'a/b/escape/secret' },
  ] as const
  expect(await unpack(...list)).toBe('ARCHIVE_REFUSED')
  unharmed()
})

test('CVE-2021-32760: a hard link to a symlink is the symlink; mode and owner do not reach its target', async () => {
  const { unpack, unharmed, top, upper } = target()
  const list = [
    { name: 's', type: 'symlink', linkname: join(top, 'secret') },
    { name: 'l', type: 'link', linkname: 's', mode: 0o6777, uid: 99 },
  ] as const
  expect(await unpack(...list)).toBeUndefined()
  expect(shell('readlink l', upper).trim()).toBe(join(top, 'secret'))
  unharmed()
})

test.each(['.wh...', '.wh..', '.wh.', 'a/.wh...'])('whiteout %s names no file', async (name) => {
  const lower = folder()
  shell('mkdir a; echo 1 > a/f', lower)
  const { unpack, unharmed } = target([lower])
  expect(await unpack({ name })).toBe('ARCHIVE_REFUSED')
  unharmed()
})

test('a whiteout through a symlink removes nothing of the host', async () => {
  const { unpack, unharmed, top } = target()
  expect(await unpack({ name: 'up', type: 'symlink', linkname: top }, { name: 'up/.wh.secret' })).toBeUndefined()
  unharmed()
})

test('huge paths and depths end in an error, not in a crash', async () => {
  const { unpack } = target()
  expect(await unpack({ name: `${'d/'.repeat(100_000)}f` })).toBe('ENAMETOOLONG')
  expect(await unpack({ name: 'x'.repeat(300) })).toBe('ENAMETOOLONG')
  expect(await unpack({ name: `${'d/'.repeat(2000)}f`, data: 'x' })).toBeUndefined()
})

test('symlink loops end', async () => {
  const { unpack } = target()
  const list = [
    { name: 'a', type: 'symlink', linkname: 'b' },
    { name: 'b', type: 'symlink', linkname: 'a' },
    { name: 'a/f', data: 'x' },
  ] as const
  expect(await unpack(...list)).toBe('ELOOP')
})

test('overlayfs marks in an archive are not taken over: no device 0/0, no opaque attribute', async () => {
  const lower = folder()
  shell('mkdir d; echo 1 > d/f; echo 2 > g', lower)
  const { unpack, upper } = target([lower])
  expect(await unpack({ name: 'g', type: 'character', major: 0, minor: 0 })).toBe('DEVICE_REFUSED')
  const xattrs = new Map([
    ['trusted.overlay.opaque', Buffer.from('y')],
    ['user.overlay.opaque', Buffer.from('y')],
  ])
  expect(await unpack({ name: 'd', type: 'directory', mode: 0o755, xattrs })).toBeUndefined()
  expect(layeredView([lower, upper]).resolve('d/f')?.type).toBe('file')
})

test('positive: absolute symlinks of the layer are walked through, absolute hard links are relative to the root', async () => {
  const { unpack, upper } = target()
  expect(
    await unpack(
      { name: 'run', type: 'directory', mode: 0o755 },
      { name: 'var/run', type: 'symlink', linkname: '/run' },
      { name: 'var/run/x', data: '1' },
      { name: 'l', type: 'link', linkname: '/var/run/x' },
      { name: 'a/../b', data: '2' },
    ),
  ).toBeUndefined()
  expect(listing(layeredView([upper])).map((line) => line.split(' ')[0])).toEqual(['b', 'l', 'run', 'run/x', 'var', 'var/run'])
})

test.each(['/', '..', '../../dest-evil', '/dest-evil', 'nowhere', 'away'])(
  'a layer never goes through a symlink of the layer below, to %s',
  async (linkname) => {
    const lower = folder()
    shell(`mkdir -p dest-evil d; echo 1 > d/f; ln -s away away; ln -s ${linkname} up; cp -a up upper; cp -a up whited`, lower)
    const { unpack, unharmed, upper } = target([lower])
    expect(
      await unpack(
        { name: 'up/secret', data: 'x' },
        { name: 'up/deep/er/secret', data: 'x' },
        { name: 'upper/.wh..wh..opq' },
        { name: 'whited/.wh.secret' },
        { name: 'whited/.wh.d' },
      ),
    ).toBeUndefined()
    unharmed()
    expect(await unpack({ name: 'h', type: 'link', linkname: 'away/f' })).toBe('ARCHIVE_REFUSED')
    const shown = listing(layeredView([lower, upper])).map((line) => line.split(' ').slice(0, 2).join(' '))
    expect(shown.filter((line) => line.startsWith('up'))).toEqual([
      'up directory',
      'up/deep directory',
      'up/deep/er directory',
      'up/deep/er/secret file',
      'up/secret file',
      'upper directory',
    ])
    expect(shown.filter((line) => /^(whited|d|nowhere|h)\b/.test(line))).toEqual(['d directory', 'd/f file', 'whited directory'])
    // No whiteout where nothing is below: overlayfs would list it.
    expect(shell('ls whited upper', upper)).toBe('upper:\n\nwhited:\n')
  },
)

test('CVE-2018-15664 class: a layer directory swapped for a symlink on disk is not followed by the view', async () => {
  const top = folder()
  shell('mkdir layer layer/d; echo mine > layer/d/secret; mkdir out; echo host > out/secret', top)
  const view = layeredView([join(top, 'layer')])
  const node = view.resolve('d/secret')
  const other = layeredView([join(top, 'layer')])
  const stale = other.resolve('d')
  shell('mv layer/d layer/e; ln -s ../out layer/d', top)
  expect(() => other.children(stale as never)).toThrow(expect.objectContaining({ code: expect.stringMatching(/ENOTDIR|ELOOP/) }))
  expect(node?.type).toBe('file')
})

test('a context symlink never leads out of the context', async () => {
  const context = folder('context')
  shell('ln -s /etc/passwd abs; ln -s ../../../../etc/passwd rel; ln -s /etc dir', context)
  const view = directoryView(context)
  for (const path of ['abs', 'rel', 'dir/passwd']) {
    const source: CopySource = { kind: 'path', view, path, unpack: 'auto', resetOwner: true }
    const writer = layerWriter(folder(), layeredView([]))
    expect(await codeOf(copyInto(writer, { sources: [source], destination: '/x', link: false, parents: false, exclude: [] }))).toBe(
      'COPY_SOURCE_NOT_FOUND',
    )
  }
})

test('rule 2: passwd that is a fifo, a link to the host, or huge', async () => {
  const root = folder()
  shell('mkdir etc; mkfifo etc/passwd; ln -s /../../../../etc/group etc/group', root)
  const view = layeredView([root])
  expect(await codeOf(() => lookupOwner(view, 'bob'))).toBe('NOT_A_FILE')
  expect(await codeOf(() => readFileInRoot(view, '/etc/group'))).toBe('ELOOP')
  shell('rm etc/passwd; truncate -s 11M etc/passwd', root)
  expect(await codeOf(() => lookupOwner(view, 'bob'))).toBe('FILE_TOO_LARGE')
})

test.each(['4294967295', '4294967296', '99999999999999999999', '7:4294967296'])('CVE-2024-40635: the id %s is no name', async (chown) => {
  const root = folder()
  shell('mkdir etc', root)
  for (const file of ['passwd', 'group']) writeFileSync(join(root, `etc/${file}`), `${chown.replace(/.*:/, '')}:x:5:5::/:/bin/sh\n`)
  expect(lookupOwner(layeredView([root]), chown)).toEqual(chown.startsWith('7') ? { uid: 7, gid: 7 } : { uid: 0, gid: 0 })
})

test.each(['-1', '0:-1'])('the id %s would change nothing', async (chown) => {
  expect(await codeOf(() => lookupOwner(layeredView([folder()]), chown))).toBe('OWNER_INVALID')
})

describe('marks of removed files (no layer can carry a file of such a name)', () => {
  const members = async (upper: string, lower: string[]) => {
    const names: string[] = []
    for await (const { entry } of layerChanges(upper, layeredView(lower))) names.push(entry.name.toString())
    return names
  }

  test.each(['.wh.f', '.wh..wh..opq', 'd/.wh.f', '.wh.', '.wh..wh.plnk'])(
    'an archive of ADD with %s is unpacked as it is, and refused by name in a layer',
    async (name) => {
      const lower = folder()
      shell('mkdir d; echo 1 > f; echo 1 > d/f', lower)
      const { upper, unharmed } = target([lower])
      await unpackArchive(entries({ name: 'g', data: 'g' }, { name, data: 'x' }), layerWriter(upper, layeredView([lower])), { target: '' })
      expect(readFileSync(join(upper, name), 'utf8')).toBe('x')
      const there = layeredView([lower, upper])
      for (const path of ['f', 'd/f', 'g']) expect(there.resolve(path)?.type).toBe('file')
      await expect(members(upper, [lower])).rejects.toMatchObject({ code: 'WHITEOUT_NAME', message: expect.stringContaining(`/${name} `) })
      unharmed()
    },
  )

  test('so is a directory of a context or of a RUN, and what is in it', async () => {
    const [upper, other] = [folder(), folder()]
    shell('mkdir -p d/.wh.e; echo x > d/.wh.e/f', upper)
    expect(await codeOf(members(upper, []))).toBe('WHITEOUT_NAME')
    // Any other name with it is a name.
    shell('touch a.wh.b .wh .whx', other)
    expect(await members(other, [])).toEqual(['.wh', '.whx', 'a.wh.b'])
  })

  test('a character device 0/0 in an archive of ADD is refused, and never left out', async () => {
    const lower = folder()
    shell('echo 1 > f', lower)
    const { upper } = target([lower])
    const skipped: string[] = []
    const options = { target: '', onSkipped: (message: string) => skipped.push(message) }
    const device = { name: 'f', type: 'character', major: 0, minor: 0 } as const
    expect(await codeOf(unpackArchive(entries(device), layerWriter(upper, layeredView([lower])), options))).toBe('DEVICE_REFUSED')
    expect(skipped).toEqual([])
    expect(layeredView([lower, upper]).resolve('f')?.type).toBe('file')
  })
})

import { readdirSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { copyInto } from '../../../src/tree/copy.ts'
import type { CopySource, CopySpec } from '../../../src/tree/types.ts'
import { directoryView, layeredView } from '../../../src/tree/view.ts'
import { layerWriter } from '../../../src/tree/writer.ts'
import { until } from '../../support/processes.ts'
import { codeOf, listing, temporary } from './folders.ts'

const { folder, shell } = temporary()

// The context and base of an experiment with Docker 28.5: what it answered is what is expected below.
const context = folder('context')
shell(
  `umask 022; chmod 755 .; mkdir -p dir/sub w1 w2/in p/a/b
   echo 1 > dir/f.txt; echo 2 > dir/g.md; echo 3 > dir/sub/h.txt; chmod 700 dir; chmod 711 dir/sub; chmod 4755 dir/f.txt; ln -s f.txt dir/ln
   ln dir/g.md dir/hard; ln -s nowhere dangling; echo w > w1/x; echo w > w2/in/y; ln -s w1 wl; echo hom > home.txt; echo hom > home.md; ln -s dir dl; echo q > p/a/b/q
   chmod 750 p/a; chmod 705 p/a/b; touch -d '2001-02-03 04:05:06.789Z' dir dir/f.txt dir/sub
   tar cf t.tar dir; ln -s t.tar lt.tar; gzip -k t.tar; echo "not tar" | gzip > x.gz; : > empty.tar.gz; chown -Rh 77:77 .; chmod 4755 dir/f.txt`,
  context,
)
const base = folder('base')
shell(
  `umask 022; mkdir -p exist/sub sg; chown 5:5 exist exist/sub; chmod 2770 exist; ln -s /exist toexist; ln -s /nowhere/deep dang; echo z > real
   ln -s /real fl; mkdir way; echo z > way/a; chgrp 7 sg; chmod 2775 sg; touch -d 2000-01-01 exist exist/sub sg`,
  base,
)

interface Options extends Partial<Omit<CopySpec, 'sources'>> {
  unpack?: 'auto' | boolean
}

async function copy(sources: string | string[], destination: string, { unpack = false, ...spec }: Options = {}) {
  const upper = folder('upper')
  shell('chmod 755 .', upper)
  const view = directoryView(context)
  const list: CopySource[] = [sources].flat().map((path) => ({ kind: 'path', view, path, unpack, resetOwner: true }))
  const lower = layeredView([base])
  await copyInto(layerWriter(upper, lower), { sources: list, destination, link: false, parents: false, exclude: [], ...spec })
  return { upper: layeredView([upper]), merged: layeredView([base, upper]) }
}
const made = async (...args: Parameters<typeof copy>) => listing((await copy(...args)).upper)

test('F4 F13 F14 F24: the contents of a directory; new top is 0755; context files are root; hard links stay', async () => {
  const { upper } = await copy('dir', '/c01')
  expect(listing(upper)).toEqual([
    'c01 directory 755 0:0',
    'c01/f.txt file 4755 0:0 2',
    'c01/g.md file 644 0:0 2',
    'c01/hard file 644 0:0 2',
    'c01/ln symlink 777 0:0 -> f.txt',
    'c01/sub directory 711 0:0',
    'c01/sub/h.txt file 644 0:0 2',
  ])
  const stat = (path: string) => upper.resolve(path)?.stat
  expect(stat('c01/g.md')?.ino).toBe(stat('c01/hard')?.ino)
  expect(stat('c01')).toMatchObject({ mtimeSeconds: 981173106, mtimeNanoseconds: 789000000 })
  expect(stat('c01/sub')?.mtimeSeconds).toBe(981173106)
  expect(stat('c01/f.txt')).toMatchObject({ mtimeSeconds: 981173106, mtimeNanoseconds: 789000000 })
})

test('F15 --chown applies to created parents and contents', async () => {
  const lines = await made('dir', '/c02/deep', { owner: { uid: 9, gid: 9 } })
  expect(lines[0]).toBe('c02 directory 755 9:9')
  expect(lines.every((line) => line.includes(' 9:9'))).toBe(true)
})

test('F15 F21 an octal --chmod applies to directories and created parents', async () => {
  expect((await made('dir', '/c03', { chmod: '640' })).filter((line) => !/ (640|777) /.test(line))).toEqual([])
  expect(await made('home.txt', '/c08/a/', { chmod: '700' })).toEqual([
    'c08 directory 700 0:0',
    'c08/a directory 700 0:0',
    'c08/a/home.txt file 700 0:0 4',
  ])
})

test('F15 created parents and a new top directory get no special bits of an octal --chmod, what is copied does', async () => {
  expect(await made('home.txt', '/c08/a/', { chmod: '4750' })).toEqual([
    'c08 directory 750 0:0',
    'c08/a directory 750 0:0',
    'c08/a/home.txt file 4750 0:0 4',
  ])
  expect((await made('dir', '/c09', { chmod: '2711' })).filter((line) => line.includes('directory'))).toEqual([
    'c09 directory 711 0:0',
    'c09/sub directory 2711 0:0',
  ])
})

test('F21 a symbolic --chmod is evaluated a file, not for created parents', async () => {
  expect(await made('dir', '/c05/', { chmod: 'u+x,go=' })).toEqual([
    'c05 directory 755 0:0',
    'c05/f.txt file 4700 0:0 2',
    'c05/g.md file 700 0:0 2',
    'c05/hard file 700 0:0 2',
    'c05/ln symlink 777 0:0 -> f.txt',
    'c05/sub directory 700 0:0',
    'c05/sub/h.txt file 700 0:0 2',
  ])
})

test('F12 an existing top directory keeps mode and owner and takes the time; a nested one is overwritten', async () => {
  const { merged } = await copy('dir', '/toexist')
  expect(listing(merged).filter((line) => line.startsWith('exist '))).toEqual(['exist directory 2770 5:5'])
  expect(merged.resolve('exist')?.stat.mtimeSeconds).toBe(981173106)
  expect(listing(merged)).toContain('exist/sub directory 711 0:0')
  expect(listing(merged)).toContain('toexist symlink 777 0:0 -> /exist')
})

test('F10 a destination symlink is followed inside the root, also when nothing is there', async () => {
  const through = await copy('home.txt', '/fl')
  expect(listing(through.upper)).toEqual(['real file 644 0:0 4'])
  expect(await made('home.txt', '/dang/')).toEqual([
    'nowhere directory 755 0:0',
    'nowhere/deep directory 755 0:0',
    'nowhere/deep/home.txt file 644 0:0 4',
  ])
})

test('F10 --link makes real directories and files, whatever is below', async () => {
  expect(await made('home.txt', '/toexist/', { link: true })).toEqual(['toexist directory 755 0:0', 'toexist/home.txt file 644 0:0 4'])
  expect(await made('home.txt', '/exist', { link: true })).toEqual(['exist file 644 0:0 4'])
})

test('created parents inherit the group and setgid bit of their parent', async () => {
  expect((await made('home.txt', '/sg/new/deep/')).slice(1)).toEqual([
    'sg/new directory 2755 0:7',
    'sg/new/deep directory 2755 0:7',
    'sg/new/deep/home.txt file 644 0:0 4',
  ])
})

test('F5 F1 several sources without a trailing slash overwrite each other; `/.` says directory', async () => {
  const { upper } = await copy(['dir/f.txt', 'dir/g.md'], '/c30')
  expect(listing(upper)).toEqual(['c30 file 644 0:0 2'])
  expect(await made('home.txt', '/c29/.')).toEqual(['c29 directory 755 0:0', 'c29/home.txt file 644 0:0 4'])
})

test('F6 F7 F9 wildcards: directories are flattened, matched symlinks followed', async () => {
  expect(await made('w*', '/c13/')).toEqual([
    'c13 directory 755 0:0',
    'c13/in directory 755 0:0',
    'c13/in/y file 644 0:0 2',
    'c13/x file 644 0:0 2',
  ])
  expect((await made('dir/*', '/c31/')).filter((line) => / c?31?/.test(line) || line.includes('ln'))).toEqual(['c31/ln file 4755 0:0 2'])
  expect(await made('wl/x', '/c17/')).toEqual(['c17 directory 755 0:0', 'c17/x file 644 0:0 2'])
})

test('F8 a wildcard without matches is nothing, a missing source an error that names it', async () => {
  expect(await made('nothing*', '/x')).toEqual([])
  expect(await made('home.txt/*', '/x')).toEqual([])
  // Seen with Docker 28.5: the directory in front of a wildcard must exist.
  const message = (path: string) => copy(path, '/x').catch((error: Error) => error.message)
  expect(await message('p/none/*')).toBe('lstat /p/none: no such file or directory')
  expect(await message('dangling/*')).toBe('lstat /nowhere: no such file or directory')
  const error = await copy('nothing', '/x').catch((error: unknown) => error)
  expect(error).toMatchObject({ code: 'COPY_SOURCE_NOT_FOUND', message: expect.stringContaining('"/nothing": not found') })
  expect(await codeOf(copy('../../etc/passwd', '/x'))).toBe('COPY_SOURCE_NOT_FOUND')
})

test('F11 file onto directory and directory onto file', async () => {
  expect(await codeOf(copy('dir', '/real'))).toBe('COPY_OVER_FILE')
  const replaced = folder('replaced')
  shell('mkdir -p x/home.txt', replaced)
  const view = directoryView(context)
  const source: CopySource = { kind: 'path', view, path: 'home.txt', unpack: false, resetOwner: true }
  const spec: CopySpec = { sources: [source], destination: '/x/', link: false, parents: false, exclude: [] }
  expect(await codeOf(copyInto(layerWriter(folder(), layeredView([replaced])), spec))).toBe('COPY_OVER_DIRECTORY')
})

test('F22 --parents recreates the path, or what follows the pivot, with the modes of the source', async () => {
  expect(await made(['p/a/b/q', 'dir/*.md'], '/c14/', { parents: true })).toEqual([
    'c14 directory 755 0:0',
    'c14/dir directory 700 0:0',
    'c14/dir/g.md file 644 0:0 2',
    'c14/p directory 755 0:0',
    'c14/p/a directory 750 0:0',
    'c14/p/a/b directory 705 0:0',
    'c14/p/a/b/q file 644 0:0 2',
  ])
  expect(await made('p/./a/b', '/c15/', { parents: true })).toEqual([
    'c15 directory 755 0:0',
    'c15/a directory 750 0:0',
    'c15/a/b directory 705 0:0',
    'c15/a/b/q file 644 0:0 2',
  ])
  expect(await codeOf(copy('p/./none', '/c15/', { parents: true }))).toBe('COPY_SOURCE_NOT_FOUND')
})

test("F22 F23 directories on the way to what is wanted have the time of the build, or its epoch; wanted ones the source's", async () => {
  // A second that is not this one.
  utimesSync(join(context, 'p/a'), 4321, 4321)
  const times = async (spec: Options) => {
    const { upper } = await copy('p/a/b', '/c16/', { parents: true, ...spec })
    return ['c16/p/a', 'c16/p/a/b'].map((path) => upper.resolve(path)?.stat.mtimeSeconds as number)
  }
  const wanted = (await copy('p', '/c16/')).upper.resolve('c16/a/b')?.stat.mtimeSeconds as number
  const [onTheWay, last] = await times({})
  expect(onTheWay).toBeGreaterThan(Date.now() / 1000 - 60)
  expect(last).toBe(wanted)
  expect(await times({ createdTime: 1234 })).toEqual([1234, wanted])
  expect((await times({ mirror: true }))[0]).toBe(4321)
})

test('F22 a directory that is walked below a file of the destination is refused, though nothing in it is wanted', async () => {
  expect(await codeOf(copy('p/./none*', '/way', { parents: true }))).toBe('COPY_OVER_FILE')
  expect(await codeOf(copy('p/a/./none*', '/way', { parents: true }))).toBeUndefined()
})

test('F23 --exclude is relative to each source, `!` takes back', async () => {
  expect((await made('dir', '/c11/', { exclude: ['*.txt', 'sub'] })).map((line) => line.split(' ')[0])).toEqual([
    'c11',
    'c11/g.md',
    'c11/hard',
    'c11/ln',
  ])
  const taken = (await made('.', '/c12/', { exclude: ['**/*.txt', '!dir/sub/h.txt'] })).map((line) => line.split(' ')[0])
  expect(taken).toContain('c12/dir/sub/h.txt')
  expect(taken).not.toContain('c12/dir/f.txt')
  expect(taken).not.toContain('c12/home.txt')
})

test('F26 F27 archives are told by content; the rest is copied', async () => {
  for (const [source, destination] of [
    ['t.tar', '/c19'],
    ['t.tar.gz', '/c20/'],
    ['lt.tar', '/c18/'],
  ] as const) {
    // Seen: a destination with a slash is made 0755 whatever --chmod says.
    const top = 'directory 755 3:3'
    const names = (await made(source, destination, { unpack: 'auto', chmod: '600', owner: { uid: 3, gid: 3 } })).map((line) =>
      line.split(' ').slice(1, 4).join(' '),
    )
    expect(names).toEqual([
      ...[top, 'directory 700 3:3', 'file 4755 3:3', 'file 644 3:3', 'file 644 3:3', 'symlink 777 3:3'],
      ...['directory 711 3:3', 'file 644 3:3'],
    ])
  }
  expect((await made(['x.gz', 'empty.tar.gz'], '/c21/', { unpack: 'auto' })).slice(1)).toEqual([
    'c21/empty.tar.gz file 644 0:0 0',
    expect.stringMatching(/^c21\/x.gz file 644 0:0/),
  ])
})

test('F26 what stands behind the end of an archive is not looked at, and the file is closed', async () => {
  shell(
    `for zip in gzip bzip2 xz; do ($zip -c t.tar; head -c 300000 /dev/urandom) > behind.$zip; done; head -c 1000 t.tar > in-the-header.tar
     (tar c x.gz | head -c 540) > in-padding.tar; (head -c 4000 t.tar | gzip; echo garbage) > before.gzip
     for zip in gzip bzip2 xz zstd; do $zip -c t.tar | head -c -2 > cut.$zip; done`,
    context,
  )
  const open = () => readdirSync('/proc/self/fd').length
  const before = open()
  for (const zip of ['gzip', 'bzip2', 'xz'])
    expect(await made(`behind.${zip}`, '/d/', { unpack: 'auto' })).toContain('d/dir/f.txt file 4755 0:0 2')
  expect(await made('in-padding.tar', '/d/', { unpack: 'auto' })).toEqual(['d directory 755 0:0', expect.stringMatching('^d/x.gz file ')])
  expect(await codeOf(made('in-the-header.tar', '/d/', { unpack: 'auto' }))).toBe('TAR_CORRUPT')
  expect(await codeOf(made('before.gzip', '/d/', { unpack: 'auto' }))).toBe('DECOMPRESS_FAILED')
  for (const zip of ['gzip', 'bzip2', 'xz', 'zstd']) {
    const message = expect.stringMatching(`^/cut.${zip}: the ${zip} stream is corrupt: `)
    await expect(made(`cut.${zip}`, '/d/', { unpack: 'auto' })).rejects.toMatchObject({ code: 'DECOMPRESS_FAILED', message })
  }
  await until(() => open() === before, 5000)
  expect(open()).toBe(before)
})

test('H6 inline content', async () => {
  const upper = folder()
  const source: CopySource = { kind: 'content', name: 'EOF', data: Buffer.from('hello'), mode: 0o644 }
  await copyInto(layerWriter(upper, layeredView([base])), {
    sources: [source],
    destination: '/new/',
    link: false,
    parents: false,
    exclude: [],
  })
  expect(listing(layeredView([upper]))).toEqual(['new directory 755 0:0', 'new/EOF file 644 0:0 5'])
})

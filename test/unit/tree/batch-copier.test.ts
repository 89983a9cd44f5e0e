import { setImmediate as nextTurn } from 'node:timers/promises'
import { sys } from '../../../src/base/sys.ts'
import { AT_FDCWD, O_DIRECTORY, O_PATH } from '../../../src/base/sys-constants.ts'
import { copyInto } from '../../../src/tree/copy.ts'
import { hashSources } from '../../../src/tree/hash.ts'
import type { CopySpec, TreeView } from '../../../src/tree/types.ts'
import { unpackLayer } from '../../../src/tree/unpack.ts'
import { directoryView, layeredView } from '../../../src/tree/view.ts'
import { layerWriter } from '../../../src/tree/writer.ts'
import { codeOf, entries, listing, temporary } from './folders.ts'

const { folder, shell } = temporary()

function spec(view: TreeView, more: Partial<CopySpec> = {}): CopySpec {
  const source = { kind: 'path', view, path: '/', unpack: false, resetOwner: false } as const
  return { sources: [source], destination: '/to/', link: false, parents: false, exclude: [], ...more }
}

async function copied(view: TreeView, more: Partial<CopySpec> = {}): Promise<TreeView> {
  const upper = folder('upper')
  await copyInto(layerWriter(upper, layeredView([])), spec(view, more))
  return layeredView([upper])
}

const MANY = 'umask 022; for d in a b a/c; do mkdir $d; for i in $(seq 150); do echo $d$i > $d/f$i; done; done'

test('many small files of several directories arrive whole, with their owners, modes and times', async () => {
  const top = folder('source')
  shell(
    `${MANY}; chown 5:6 a/f3; chmod 4751 a/f4; chown 7:8 a/f5; chmod 6755 a/f5; touch -d '1999-01-02 03:04:05.678Z' b/f7; : > b/empty`,
    top,
  )
  const view = directoryView(top)
  const result = await copied(view, { destination: '/' })
  expect(listing(result, { times: true })).toEqual(listing(view, { times: true }))
  const whole = { path: '/', parents: false, exclude: [] }
  expect(await hashSources(result, whole)).toBe(await hashSources(view, whole))
})

test('F21 F15 --chmod and --chown reach files of a batch', async () => {
  const top = folder('source')
  shell(MANY, top)
  const lines = listing(await copied(directoryView(top), { chmod: '2640', owner: { uid: 9, gid: 10 } }))
  expect(lines.filter((line) => line.includes(' file ') && !line.includes(' file 2640 9:10 '))).toEqual([])
})

test('F14 COPY keeps extended attributes, file capabilities too, of files among plain ones', async () => {
  const top = folder('source')
  const capability = '0x0100000200040000000000000000000000000000'
  shell(
    `${MANY}; setfattr -n user.note -v kept a/f2; setfattr -n security.capability -v ${capability} a/f9; setfattr -n user.dir -v d a`,
    top,
  )
  const result = await copied(layeredView([top]))
  const attributes = (path: string) =>
    Object.fromEntries([...result.xattrs(result.resolve(path) as never)].map(([k, v]) => [k, v.toString('hex')]))
  expect(attributes('to/a/f2')).toEqual({ 'user.note': '6b657074' })
  expect(attributes('to/a/f9')).toEqual({ 'security.capability': capability.slice(2) })
  expect(attributes('to/a')).toEqual({ 'user.dir': '64' })
  expect(attributes('to/a/f1')).toEqual({})
})

test('files that replace what a layer below has, of any type', async () => {
  const [base, top, upper] = [folder('base'), folder('source'), folder('upper')]
  shell('mkdir -p to/a; echo old > to/a/f1; ln -s /etc to/a/f2; mkfifo to/a/f3', base)
  shell(MANY, top)
  await copyInto(layerWriter(upper, layeredView([base])), spec(directoryView(top)))
  const merged = layeredView([base, upper])
  expect(['f1', 'f2', 'f3', 'f4'].map((name) => merged.resolve(`to/a/${name}`)?.type)).toEqual(['file', 'file', 'file', 'file'])
  expect(merged.resolve('to/a/f1')?.stat.size).toBe(3)
})

test('a file that goes away during the copy is an error that names it', async () => {
  const top = folder('source')
  shell('for i in 1 2 3; do echo $i > f$i; done', top)
  const view = directoryView(top)
  const gone: TreeView = Object.assign(Object.create(view) as TreeView, {
    root: view.root,
    resolve: view.resolve.bind(view),
    child: view.child.bind(view),
    readlink: view.readlink.bind(view),
    open: view.open.bind(view),
    xattrs: view.xattrs.bind(view),
    inode: view.inode.bind(view),
    children: (node: never) => {
      const found = view.children(node)
      for (const each of found) each.stat
      shell('rm f2', top)
      return found
    },
    listing: (node: never) => view.listing?.(node),
  })
  expect(await codeOf(copied(gone))).toBe('ENOENT')
})

test('copyEach leaves what is not plain, and nothing of it', async () => {
  const [from, to] = [folder('from'), folder('to')]
  shell('echo 1 > plain; ln -s plain link; echo 2 > tagged; setfattr -n user.x -v 1 tagged; echo 3 > taken; mkfifo fifo', from)
  shell('echo mine > taken', to)
  const [fromFd, toFd] = [from, to].map((path) => sys().openat(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0)) as [number, number]
  const names = ['plain', 'link', 'tagged', 'taken', 'fifo', 'missing']
  const files = names.map((name) => ({ name: Buffer.from(name), mode: 0o640, uid: 1, gid: 2, mtimeSeconds: -5, mtimeNanoseconds: 6 }))
  const pending = sys().copyEach(fromFd, toFd, files)
  for (const fd of [fromFd, toFd]) sys().close(fd)
  expect([...(await pending)]).toEqual([0, 1, 1, 1, 1, 1])
  expect(listing(directoryView(to), { times: true })).toEqual([
    'plain file 640 1:2 2 -5.6',
    expect.stringMatching(/^taken file 644 0:0 5 /),
  ])
})

test('copyEach refuses names with a slash', () => {
  const [from, to] = [folder('from'), folder('to')]
  shell('mkdir d; echo 1 > d/f', from)
  shell('mkdir d', to)
  const [fromFd, toFd] = [from, to].map((path) => sys().openat(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0)) as [number, number]
  const file = { name: Buffer.from('d/f'), mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 0, mtimeNanoseconds: 0 }
  expect(() => sys().copyEach(fromFd, toFd, [file])).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }))
  expect(listing(directoryView(to)).length).toBe(1)
  for (const fd of [fromFd, toFd]) sys().close(fd)
})

describe('a long copy', () => {
  const top = folder('long')
  shell('mkdir d; cd d; for i in $(seq 3000); do echo $i > f$i; done', top)

  test('lets the event loop go on', async () => {
    let turns = 0
    let running = true
    const counting = (async () => {
      while (running) {
        await nextTurn()
        turns += 1
      }
    })()
    await copied(directoryView(top))
    running = false
    await counting
    expect(turns).toBeGreaterThan(3)
  })

  test('ends at an abort, and nothing is written after it', async () => {
    const controller = new AbortController()
    const upper = folder('upper')
    const copy = copyInto(layerWriter(upper, layeredView([])), spec(directoryView(top)), { signal: controller.signal })
    setImmediate(() => controller.abort(new Error('enough')))
    await expect(copy).rejects.toThrow('enough')
    const count = () => shell('find . | wc -l', upper)
    const before = count()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(count()).toBe(before)
    expect(Number(before)).toBeLessThan(3000)
  })

  test('an aborted hash and unpack end, too', async () => {
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(hashSources(directoryView(top), { path: '/', parents: false, exclude: [] }, { signal })).rejects.toThrow('enough')
    await expect(unpackLayer(entries({ name: 'f' }), layerWriter(folder(), layeredView([])), { signal })).rejects.toThrow('enough')
  })
})

test('onSkipped is told of a device that cannot be there; without it that is an error', async () => {
  const device = { name: 'dev/marker', type: 'character', major: 0, minor: 0 } as const
  const skipped: string[] = []
  const upper = folder('upper')
  await unpackLayer(
    entries({ name: 'dev', type: 'directory', mode: 0o755 }, device, { name: 'f', data: 'x' }),
    layerWriter(upper, layeredView([])),
    {
      onSkipped: (message) => skipped.push(message),
    },
  )
  expect(skipped).toEqual([expect.stringContaining('/dev/marker')])
  expect(listing(layeredView([upper])).map((line) => line.split(' ')[0])).toEqual(['dev', 'f'])
  expect(await codeOf(unpackLayer(entries(device), layerWriter(folder(), layeredView([]))))).toBe('DEVICE_REFUSED')
})

test('a directory that only gets its time is brought up from the layer below', async () => {
  const [base, top, upper] = [folder('base'), folder('source'), folder('upper')]
  shell('mkdir -p w/d', base)
  shell('touch -d @1000 .', top)
  await copyInto(layerWriter(upper, layeredView([base])), spec(directoryView(top), { destination: '/w/d/' }))
  expect(layeredView([base, upper]).resolve('w/d')?.stat.mtimeSeconds).toBe(1000)
})

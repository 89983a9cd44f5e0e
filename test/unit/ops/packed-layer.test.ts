import { chmodSync, chownSync, linkSync, lstatSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { makeLayer, makePackedLayer } from '../../../src/ops/layer.ts'
import type { LayerId, Snapshot } from '../../../src/store/types.ts'
import { copyInto } from '../../../src/tree/copy.ts'
import type { CopySpec, TreeNode, TreeView } from '../../../src/tree/types.ts'
import { directoryView, layeredView } from '../../../src/tree/view.ts'
import { layerWriter } from '../../../src/tree/writer.ts'
import { type CountedCatalog, committed, countedCatalog } from '../../support/catalog.ts'
import { entry, file } from '../tar/items.ts'
import { listing, temporary } from '../tree/folders.ts'

const { folder, shell } = temporary()
let own: CountedCatalog
beforeEach(async () => {
  own = await countedCatalog()
})
afterEach(() => own.dispose())

const io = { signal: new AbortController().signal }

/** Copies from these folders, each on its own, into one layer. */
function copying(folders: readonly string[], more: Partial<CopySpec> = {}) {
  const sources = folders.map((path) => {
    const source = { view: directoryView(path), path: '/', unpack: false, resetOwner: false } as const
    return { kind: 'path' as const, ...source }
  })
  const spec: CopySpec = { sources, destination: '/to/', link: false, parents: false, exclude: [], createdTime: 77, ...more }
  return (defers: boolean) => (active: { upper: string; lower: readonly string[] }) =>
    copyInto(layerWriter(active.upper, layeredView(active.lower)), spec, { defers })
}

const directory = (name: string) => ({ entry: entry(name, { type: 'directory', mode: 0o755 }), data: Buffer.alloc(0) })
const deps = () => ({ snapshots: own.snapshots, layers: own.catalog })
const states = async (layers: Snapshot) => [...(await own.catalog.where(layers)).values()]

interface Made {
  readonly diffId: string
  readonly files: readonly string[]
  readonly root: TreeNode['stat']
}

async function madeOf(layers: Snapshot): Promise<Made> {
  const [layer] = await own.catalog.open(layers.slice(-1))
  const view: TreeView = layeredView(await own.catalog.directories(layers, io.signal))
  return { diffId: layer?.diffId ?? '', files: listing(view, { times: true }), root: view.root.stat }
}

/** What a step on it sees. */
const seen = ({ diffId, files }: Made) => ({ diffId, files })

/** By both ways; the one that is packed at once was no directory before somebody asked for it. */
async function both(copy: ReturnType<typeof copying>, parent: Snapshot = []): Promise<readonly [Made, Made]> {
  const packed = await makePackedLayer(parent, deps(), io, {}, copy(true))
  if (packed === undefined) throw new Error('it was not packed')
  expect(await states(packed.slice(-1))).toEqual(['blob'])
  const plain = await makeLayer(parent, deps(), io, copy(false))
  return [await madeOf(packed), await madeOf(plain)]
}

const TREE = `umask 022; for d in a b a/c; do mkdir $d; for i in $(seq 140); do echo $d$i > $d/f$i; done; done; : > b/empty; ln -s f1 a/l; ln a/f1 b/hard
mkfifo b/pipe; chmod 4751 a/f4; chown 7:8 a/f5; head -c 3000000 /dev/zero > large; truncate -s 500000 sparse; find . -exec touch -hd '1999-01-02 03:04:05.678912345Z' {} +`

test('a layer that is packed at once has the diffID, and later the directory, of one that is made as a directory', async () => {
  const source = folder('source')
  shell(TREE, source)
  const [packed, plain] = await both(copying([source]))
  expect(seen(packed)).toEqual(seen(plain))
  expect(packed.files.filter((line) => line.includes(' 915246245.678912345'))).toHaveLength(430)
  expect(packed.files.join('\n')).toContain('to/a/f4 file 4751 0:0 3 ')
})

test.each<[string, Partial<CopySpec>]>([
  ['--chown', { owner: { uid: 9, gid: 10 } }],
  ['--chmod', { chmod: '2640' }],
  ['--exclude', { exclude: ['a/c', '**/f1*'] }],
  ['--link', { link: true }],
  ['another destination', { destination: '/x/y/z' }],
  ['the root', { destination: '/' }],
])('%s', async (_, more) => {
  const source = folder('source')
  shell(TREE, source)
  const [packed, plain] = await both(copying([source], more))
  expect(seen(packed)).toEqual(seen(plain))
})

test('the root has the time of what was copied into it', async () => {
  const source = folder('source')
  shell(`${TREE}; touch -d '2001-02-03 04:05:06.789' .`, source)
  for (const { root } of await both(copying([source], { destination: '/' }))) {
    expect([root.mtimeSeconds, root.mtimeNanoseconds]).toEqual([981173106, 789000000])
  }
  const [{ root }] = await both(copying([source]))
  expect(Date.now() / 1000 - root.mtimeSeconds).toBeLessThan(60)
})

test('directories of which nothing but the time is changed, and which the tar does not have', async () => {
  const source = folder('source')
  shell(
    `${TREE}; mkdir -p kept/below new; chmod 755 kept kept/below; touch -hd '2001-02-03 04:05:06.789' kept/below; touch -hd @7 kept`,
    source,
  )
  const base = await committed(own.snapshots, [directory('to'), directory('to/kept'), directory('to/kept/below'), directory('to/other')])
  const [packed, plain] = await both(copying([source], { owner: { uid: 0, gid: 0 } }), [base])
  expect(seen(packed)).toEqual(seen(plain))
  expect(packed.files).toContain('to/kept/below directory 755 0:0 981173106.789000000')
})

test.each([
  ['another content of the same time', 'echo 2 > x; touch -d @5.5 x', 'echo 1 > x; touch -d @5.5 x'],
  ['another target of the same time', 'ln -s b x; touch -hd @5.5 x', 'ln -s a x; touch -hd @5.5 x'],
  ['a link to what the tar does not have', 'echo 1 > x; ln x y; touch -d @5.5 x', 'echo 1 > x; touch -d @5.5 x'],
])('what a tar does not tell from the layer below (%s): the layer is made as a directory', async (_, script, below) => {
  const [source, base] = [folder('source'), folder('base')]
  shell(script, source)
  shell(below, base)
  const parent = await makeLayer([], deps(), io, copying([base])(false))
  expect(await makePackedLayer(parent, deps(), io, {}, copying([source])(true))).toBeUndefined()
})

test('what is the same as in the layer below', async () => {
  const [source, base] = [folder('source'), folder('base')]
  for (const path of [source, base]) shell('echo 1 > x; ln -s x y; mkdir d; : > d/e; find . -exec touch -hd @5.5 {} +', path)
  const parent = await makeLayer([], deps(), io, copying([base])(false))
  const [packed, plain] = await both(copying([source]), parent)
  expect(seen(packed)).toEqual(seen(plain))
})

test('what replaces files of the layer below, and of an earlier source', async () => {
  const [one, two] = [folder('one'), folder('two')]
  shell('mkdir a; echo 1 > a/x; echo 1 > a/same; ln -s x a/y; echo 1 > z', one)
  shell('mkdir a; echo 2 > a/y; ln -s y a/x; echo 2 > a/w; ln a/w a/v', two)
  for (const path of [one, two]) shell(`find . -exec touch -hd @5 {} +; chown -R 0:0 .; chmod 755 . a`, path)
  const base = await committed(own.snapshots, [directory('to'), directory('to/a'), file('to/a/x', 'old'), file('to/a/kept', 'old')])
  const [packed, plain] = await both(copying([one, two]), [base])
  expect(seen(packed)).toEqual(seen(plain))
  expect(packed.files.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
    'to directory',
    'to/a directory',
    ...['kept', 'same', 'v', 'w'].map((name) => `to/a/${name} file`),
    'to/a/x symlink',
    'to/a/y file',
    'to/z file',
  ])
})

test('random trees over random layers', async () => {
  const name = fc.constantFrom('a', 'b', 'c', 'é', 'x'.repeat(110))
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
  const kind = fc.constantFrom('file', 'file', 'file', 'empty', 'large', 'symlink', 'link', 'private')
  const tree = fc.array(fc.record({ path, kind, time: fc.integer({ min: 0, max: 2_000_000_000 }) }), { maxLength: 12 })
  await fc.assert(
    fc.asyncProperty(tree, tree, tree, async (below, first, second) => {
      const [base, one, two] = [below, first, second].map(written) as [string, string, string]
      const parent = await makeLayer([], deps(), io, copying([base])(false))
      const [packed, plain] = await both(copying([one, two]), parent)
      expect(seen(packed)).toEqual(seen(plain))
    }),
    { numRuns: 5 },
  )
}, 120_000)

interface Random {
  readonly path: string
  readonly kind: string
  readonly time: number
}

/** As much of it as can be made; directories never meet files, since all names of files are marked. */
function written(tree: readonly Random[]): string {
  const top = folder('random')
  const files: string[] = []
  for (const { path, kind, time } of tree) {
    const parent = join(top, path, '..')
    const target = join(top, `${path}.${kind === 'symlink' ? 'file' : 'f'}`)
    mkdirSync(parent, { recursive: true })
    if (lstatSync(target, { throwIfNoEntry: false }) !== undefined || target.length > 4000) continue
    if (kind === 'symlink') symlinkSync(`to ${time}`, target)
    else if (kind === 'link' && files[0] !== undefined) linkSync(files[0], target)
    else {
      writeFileSync(target, 'x'.repeat(kind === 'empty' ? 0 : kind === 'large' ? 70_000 : (time % 700) + 1))
      if (kind === 'private') chmodSync(target, 0o600)
      if (kind === 'private') chownSync(target, 12, 13)
      utimesSync(target, time, time + 0.25)
      files.push(target)
    }
  }
  shell('find . -type d -exec touch -d @9 {} +', top)
  return top
}

test.each([
  ['extended attributes of a file', 'setfattr -n user.note -v x a/f7'],
  ['extended attributes of an empty file', 'setfattr -n user.note -v x b/empty'],
  ['extended attributes of a large file', 'setfattr -n user.note -v x large'],
  ['extended attributes of a directory', 'setfattr -n user.note -v x a/c'],
  ['a time before 1970', 'touch -d @-5 a/f9'],
  ['a time that is too late', 'touch -d @9300000000 a/c'],
  ['a name that no layer may have', 'touch a/.wh.x'],
])('%s: the layer is made as a directory', async (_, script) => {
  const source = folder('source')
  shell(`${TREE}; ${script}`, source)
  expect(await makePackedLayer([], deps(), io, {}, copying([source])(true))).toBeUndefined()
})

test('a step that is stopped is not packed to its end', async () => {
  const source = folder('source')
  shell(TREE, source)
  const stop = new AbortController()
  const copy = copying([source])(true)
  const stopping = async (active: { upper: string; lower: readonly string[] }) => {
    const deferred = await copy(active)
    stop.abort()
    return deferred
  }
  await expect(makePackedLayer([], deps(), { signal: stop.signal }, {}, stopping)).rejects.toThrow('aborted')
})

test.each([
  '> a/f9',
  'echo longer >> large',
  'rm a/f3',
  'rm -r b',
  'rm a/f2; mkfifo a/f2',
  'rm a/f2; ln -s f3 a/f2',
  'rm b/empty; mkfifo b/empty',
  'rm large; mkdir large',
])('a source that changes before it is read (%s): the layer is made as a directory', async (script) => {
  const source = folder('source')
  shell(TREE, source)
  const copy = copying([source])(true)
  const changing = async (active: { upper: string; lower: readonly string[] }) => {
    const deferred = await copy(active)
    shell(script, source)
    return deferred
  }
  expect(await makePackedLayer([], deps(), io, {}, changing)).toBeUndefined()
})

test('a layer without the blob of its times, or of its tar, is not there', async () => {
  const source = folder('source')
  shell(TREE, source)
  const [id] = (await makePackedLayer([], deps(), io, {}, copying([source])(true))) as [LayerId]
  const { times, blobs = [] } = own.store.layers.info(id) ?? {}
  expect([times, blobs.length]).toEqual([expect.stringMatching(/^sha256:/), 1])
  await own.store.blobs.delete(times as never)
  expect(own.store.layers.state(id)).toBe('missing')
})

test('times that are not those of the tar are refused', async () => {
  const source = folder('source')
  shell(TREE, source)
  const [id] = (await makePackedLayer([], deps(), io, {}, copying([source])(true))) as [LayerId]
  for (const length of [4, 4000]) {
    const { digest } = await own.store.blobs.put(Buffer.alloc(length))
    await own.store.layers.update(id, { times: digest })
    await expect(own.catalog.directories([id], io.signal)).rejects.toThrow('the times of a layer are not those of its tar')
    expect(own.store.layers.state(id)).toBe('blob')
  }
})

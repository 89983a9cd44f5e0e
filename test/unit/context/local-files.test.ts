import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadInputs, openNamedContext } from '../../../src/context/contexts.ts'
import { ThisMachine } from '../../../src/this-machine/this-machine.ts'
import { copyInto } from '../../../src/tree/copy.ts'
import { hashSources } from '../../../src/tree/hash.ts'
import type { TreeView } from '../../../src/tree/types.ts'
import { layeredView } from '../../../src/tree/view.ts'
import { layerWriter } from '../../../src/tree/writer.ts'
import { noSources } from '../../support/context-sources.ts'
import { temporary } from '../tree/folders.ts'

const { folder, shell } = temporary()
const SOURCES = noSources()
const caller = new ThisMachine({})

/** BuildKit sends attributes and sets them, then the owner, which takes capabilities away from all but directories. */
test('F14 files of a local context have no capabilities, and keep other attributes; the key does not count them', async () => {
  const context = folder('context')
  shell('mkdir d; echo x > f; echo y > d/g; setfattr -n user.note -v 1 f d/g d', context)
  writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\n')
  const main = async () => (await (await loadInputs({ context, buildArgs: {} }, caller, SOURCES)).context(undefined)).view
  const named = async () => (await (await openNamedContext('other', context, { caller, sources: SOURCES }))(undefined)).view
  const digest = (view: TreeView) => hashSources(view, { path: '/', parents: false, exclude: [] }, { resetOwner: true })
  const before = await digest(await main())
  shell('setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 f d/g', context)
  for (const view of [await main(), await named()]) {
    for (const path of ['f', 'd/g']) expect([...view.xattrs(view.resolve(path) as never).keys()]).toEqual(['user.note'])
    expect(await digest(view)).toBe(before)
    const upper = folder('upper')
    const writer = layerWriter(upper, layeredView([]))
    const source = { kind: 'path', view, path: '/', unpack: false, resetOwner: true } as const
    await copyInto(writer, { sources: [source], destination: '/', link: false, parents: false, exclude: [] })
    writer.finish()
    const made = layeredView([upper])
    for (const path of ['f', 'd/g']) expect([...made.xattrs(made.resolve(path) as never).keys()]).toEqual(['user.note'])
  }
})

test('github.com/x/y is a directory when there is one', async () => {
  const here = folder('here')
  shell('mkdir -p github.com/x/y; echo FROM scratch > github.com/x/y/Dockerfile', here)
  const { identity } = await loadInputs({ context: 'github.com/x/y', buildArgs: {} }, new ThisMachine({ workingDirectory: here }), SOURCES)
  expect(identity).toBe(`${here}/github.com/x/y|Dockerfile`)
})

import { expect, test } from '@jest/globals'
import { copyInto } from '../../../src/tree/copy.ts'
import { hashSources } from '../../../src/tree/hash.ts'
import { linkedPaths } from '../../../src/tree/linked-paths.ts'
import type { CopySource } from '../../../src/tree/types.ts'
import { directoryView, layeredView } from '../../../src/tree/view.ts'
import { layerWriter } from '../../../src/tree/writer.ts'
import { codeOf, listing, temporary } from './folders.ts'

const { folder, shell } = temporary()

// As a part of a context that is mounted: \377 is no UTF-8, and [x] would be a pattern.
const context = folder('context')
shell(
  String.raw`umask 022; N=$(printf 'n\377'); mkdir -p "$N/in" plain/deep 'way/[x]' way/x other
   echo 1 > "$N/in/file"; echo 22 > plain/deep/file; echo 333 > 'way/[x]/file'; echo no > way/x/file; echo no > other/file
   ln -s "$N/in" bytes; ln -s plain/deep text; ln -s 'way/[x]' brackets; ln -s brackets twice; ln -s nowhere dangling; chown -Rh 0:0 .`,
  context,
)

async function mirrored(path: string): Promise<string[]> {
  const upper = folder('upper')
  const view = directoryView(context)
  const sources = linkedPaths(view, path).map((found): CopySource => ({ kind: 'path', view, unpack: false, resetOwner: true, ...found }))
  const spec = { sources, destination: '/', link: false, parents: true, mirror: true, exclude: [] }
  await copyInto(layerWriter(upper, layeredView([])), spec)
  return listing(layeredView([upper])).map((line) => line.replace(/ (file|directory) .*/, ''))
}

test('a link in a context to a name that is not UTF-8', async () => {
  expect(await mirrored('bytes')).toEqual(['bytes symlink 777 0:0 -> n\xff/in', 'n\xff', 'n\xff/in', 'n\xff/in/file'])
  expect(await mirrored('bytes/file')).toEqual(['bytes symlink 777 0:0 -> n\xff/in', 'n\xff', 'n\xff/in', 'n\xff/in/file'])
})

test('what a link leads to is no pattern, and nothing beside it comes along', async () => {
  expect(await mirrored('text')).toEqual(['plain', 'plain/deep', 'plain/deep/file', 'text symlink 777 0:0 -> plain/deep'])
  const links = ['brackets symlink 777 0:0 -> way/[x]', 'twice symlink 777 0:0 -> brackets']
  expect(await mirrored('twice/file')).toEqual([...links, 'way', 'way/[x]', 'way/[x]/file'])
})

test('a path that is not there stands as it is', async () => {
  expect(linkedPaths(directoryView(context), '/none')).toEqual([{ path: '/none' }])
  expect(await codeOf(mirrored('/none'))).toBe('COPY_SOURCE_NOT_FOUND')
  expect(await mirrored('/dangling')).toEqual(['dangling symlink 777 0:0 -> nowhere'])
})

test('what is wanted has the content that it has as the path of a COPY --parents', async () => {
  const view = directoryView(context)
  for (const path of ['plain/deep', 'plain/deep/file', 'plain', 'text']) {
    const exactly = await hashSources(view, { path, exact: true, parents: true, exclude: [] })
    expect(exactly).toBe(await hashSources(view, { path: `/${path}`, parents: true, exclude: [] }))
  }
})

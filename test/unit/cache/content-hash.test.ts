import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sha256 } from '../../../src/base/digest.ts'
import { contentDigest } from '../../../src/cache/buildkit/content-hash.ts'
import type { Selection } from '../../../src/cache/buildkit/node.ts'
import { recordDigest } from '../../../src/cache/buildkit/op-json.ts'
import { directoryView } from '../../../src/tree/view.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-content-'))
  chmodSync(folder, 0o755)
  write('a.txt', 'hello\n')
  write('b.txt', 'b\n')
  write('dir/c', 'c\n')
  write('dir/sub/d', 'd\n')
  symlinkSync('c', join(folder, 'dir/link'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function write(name: string, text: string): void {
  mkdirSync(join(folder, name, '..'), { recursive: true, mode: 0o755 })
  writeFileSync(join(folder, name), text, { mode: 0o644 })
}

const digest = (...selections: Selection[]) => contentDigest(directoryView(folder), selections, { sent: true })
const record = async (...selections: Selection[]) => recordDigest((await digest(...selections)) ?? sha256(''), -1)

/** Of the same files, as docker 28.5 (BuildKit 0.25) exported them. */
test.each<[string, Selection]>([
  ['sha256:c24a47b576469b52903dd7e5045a62fee5855b447dee1771d67b829458d2c08e', { path: '/a.txt', followLinks: true }],
  ['sha256:cb174215b74449298b6dd98ea91ccf636d6244ada3439a0b51a2776d64a4d4d7', { path: '/dir', followLinks: true }],
  ['sha256:7e34e8b84a65fb7253991a594f52667fb45a8020e4e7d3dfc4b3337d01d0229c', { path: '/*.txt', followLinks: true, wildcard: true }],
])('%s is of %p', async (recorded, selection) => {
  expect(await record(selection)).toBe(recorded)
})

test('the name of a file does not count, its mode does, its time does not', async () => {
  const before = await digest({ path: '/a.txt' })
  write('other', 'hello\n')
  expect(await digest({ path: '/other' })).toBe(before)
  chmodSync(join(folder, 'a.txt'), 0o755)
  expect(await digest({ path: '/a.txt' })).not.toBe(before)
})

test('a link is followed when asked, and in a directory it is what it names', async () => {
  expect(await digest({ path: '/dir/link', followLinks: true })).toBe(await digest({ path: '/dir/c' }))
  expect(await digest({ path: '/dir/link' })).not.toBe(await digest({ path: '/dir/c' }))
})

test('owners count where the files are those of a step, and the root has a header there', async () => {
  const view = directoryView(folder)
  const step = (path: string) => contentDigest(view, [{ path }], { sent: false })
  expect(await step('/')).not.toBe(await digest({ path: '/' }))
})

test('what is not there has no digest, what matches nothing that of nothing', async () => {
  expect(await digest({ path: '/none' })).toBeUndefined()
  expect(await digest({ path: '/none*', wildcard: true })).toBe(sha256(sha256('')))
})

test('what is excluded does not count, but is no part of what remains', async () => {
  const before = await digest({ path: '/dir', followLinks: true, exclude: ['sub'] })
  write('dir/sub/e', 'e\n')
  expect(await digest({ path: '/dir', followLinks: true, exclude: ['sub'] })).toBe(before)
  expect(await digest({ path: '/dir', followLinks: true })).not.toBe(before)
})

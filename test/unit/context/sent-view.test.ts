import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { sentView } from '../../../src/context/sent-view.ts'
import type { TreeNode, TreeView } from '../../../src/tree/types.ts'
import { directoryView } from '../../../src/tree/view.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-sent-'))
  mkdirSync(join(folder, 'g/h'), { recursive: true })
  writeFileSync(join(folder, 'g/a.md'), '')
  writeFileSync(join(folder, 'g/h/b.md'), '')
  writeFileSync(join(folder, 'f'), '')
  symlinkSync('g', join(folder, 'link'))
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('K17: what is seen of a context', () => {
  test.each<[string[], string, boolean]>([
    [['g/*.txt'], 'g', false],
    [['g/*.txt'], 'f', false],
    [['g/*.md'], 'g', true],
    [['g/*.txt', 'g/h'], 'g', true],
    [['g/*.txt', 'g/h/*.txt'], 'g/h', false],
    [['g/*.txt', 'g/*/b.md'], 'g', true],
    [['g/*.txt', '.'], 'g', true],
    [['f/*'], 'f', false],
    [['f/*', 'f'], 'f', true],
    [['*.txt'], 'g', true],
    [['link/*.md'], 'g', true],
    [['f/*', 'link/h/b.md'], 'link/h/b.md', true],
    [['g/*.txt', './/g/./h/'], 'g', true],
    // `**` is any depth for what is sent: there is something, which the copy does not take.
    [['g/**/h/*.md'], 'g', true],
    [['g/**/h/*.md'], 'g/h/b.md', true],
    [['g/**/h/*.md'], 'g/a.md', false],
    [['g/**/**/none*'], 'g', false],
    [['g/a**d'], 'g/a.md', false],
    [['f**'], 'f', true],
    [['li*/h/*.md'], 'g/h/b.md', true],
    [['li*/h/*.md'], 'g/a.md', false],
  ])('%j: %s %s', (paths, path, seen) => {
    const view = sentView(directoryView(folder), paths)
    expect(view.resolve(path, { follow: true }) !== undefined).toBe(seen)
  })
})

test('K17: how deep a context is does not multiply what is looked at', () => {
  const depth = 60
  const deep = join(folder, 'deep')
  mkdirSync(join(deep, 'd/'.repeat(depth)), { recursive: true })
  writeFileSync(join(deep, 'd/'.repeat(depth), 'hit.txt'), '')
  const view = directoryView(deep)
  let listed = 0
  const counting = new Proxy(view, {
    get: (target, name) => {
      const value = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      if (name === 'children') listed += 1
      return value.bind(target)
    },
  })
  const found = files(sentView(counting, ['*/**/hit.txt']))
  expect(found).toEqual([`${'d/'.repeat(depth)}hit.txt`])
  expect(listed).toBeLessThan(4 * depth)
})

function files(view: TreeView): string[] {
  const found: string[] = []
  const pending: TreeNode[] = [view.root]
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const node of view.children(directory)) {
      if (node.type === 'directory') pending.push(node)
      else found.push(node.path.toString())
    }
  }
  return found
}

import { expect, test } from '@jest/globals'
import { compareFiles } from '../../../src/explain/files.ts'
import type { HashedFile } from '../../../src/tree/hash.ts'

const file = (path: string, more: Partial<HashedFile> = {}): HashedFile => ({
  ...{ path, type: 'file', mode: 0o644, uid: 0, gid: 0, size: 1, target: '', device: '', content: 'aa' },
  ...more,
})
const source = (path: string, parents = false) => ({ path, parents })

test('each kind of change, by path; of several the most telling one', () => {
  const before = [
    file('', { type: 'directory', mode: 0o755, content: '' }),
    file('content'),
    file('device', { type: 'character', device: '1:3' }),
    file('gone'),
    file('link', { type: 'symlink', target: 'a' }),
    file('mode'),
    file('owner'),
    file('same'),
    file('type'),
  ]
  const now = [
    file('', { type: 'directory', mode: 0o775, content: '' }),
    file('content', { content: 'bb', mode: 0o600, uid: 1 }),
    file('device', { type: 'character', device: '1:5' }),
    file('link', { type: 'symlink', target: 'b' }),
    file('mode', { mode: 0o4755, uid: 1 }),
    file('new'),
    file('owner', { uid: 1000, gid: 50 }),
    file('same'),
    file('type', { type: 'fifo' }),
  ]
  expect(compareFiles(before, now, source('/src/'))).toEqual([
    { path: 'src/', change: 'mode', from: '0755', to: '0775' },
    { path: 'src/content', change: 'content' },
    { path: 'src/device', change: 'content' },
    { path: 'src/gone', change: 'removed' },
    { path: 'src/link', change: 'content' },
    { path: 'src/mode', change: 'mode', from: '0644', to: '4755' },
    { path: 'src/new', change: 'added' },
    { path: 'src/owner', change: 'owner', from: '0:0', to: '1000:50' },
    { path: 'src/type', change: 'type', from: 'file', to: 'fifo' },
  ])
})

test.each([
  ['/', 'a', 'a'],
  ['.', 'a', 'a'],
  ['/src/a', 'a', 'src/a'],
  ['/src', 'd/a', 'src/d/a'],
  ['/src/*.json', 'p.json', 'src/p.json'],
  ['/*.json', 'p.json', 'p.json'],
])('a source %s names %s as %s', (path, name, shown) => {
  expect(compareFiles([], [file(name)], source(path))).toEqual([{ path: shown, change: 'added' }])
})

test('COPY --parents names from the pivot', () => {
  expect(compareFiles([], [file('x/a')], source('/deep/./x/a', true))).toEqual([{ path: 'deep/x/a', change: 'added' }])
  expect(compareFiles([], [file('x/a')], source('/x/a', true))).toEqual([{ path: 'x/a', change: 'added' }])
})

test('files of the same name, from several matches of a wildcard, are compared in their order', () => {
  const before = [file('a'), file('a', { content: 'bb' })]
  expect(compareFiles(before, before, source('/*/'))).toEqual([])
  expect(compareFiles(before, [file('a'), file('a', { content: 'cc' })], source('/*/'))).toMatchObject([{ change: 'content' }])
})

test('names are bytes; what is no UTF-8 is shown with U+FFFD', () => {
  expect(compareFiles([], [file('\xc3\xa4'), file('\xff')], source('/'))).toMatchObject([{ path: 'ä' }, { path: '\ufffd' }])
})

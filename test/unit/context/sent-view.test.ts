import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { sentView } from '../../../src/context/sent-view.ts'
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

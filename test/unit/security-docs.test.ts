import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'

const root = join(import.meta.dirname, '../..')
const markdown = readFileSync(join(root, 'docs/security.md'), 'utf8')
const sections = markdown.split(/^### /m).slice(1)

test('there are fourteen rules, each with a place and a test', () => {
  expect(sections.map((section) => Number.parseInt(section, 10))).toEqual(Array.from({ length: 14 }, (_, index) => index + 1))
  const poor = sections.filter((section) => !/^- kept in `/m.test(section) || !/^- `test\//m.test(section))
  expect(poor.map((section) => section.split('\n', 1)[0])).toEqual([])
})

test('the files that keep the rules are there', () => {
  const kept = [...markdown.matchAll(/^- kept in (.*)$/gm)].flatMap(([, list = '']) =>
    [...list.matchAll(/`([^`]+)`/g)].map(([, path]) => path),
  )
  expect(kept.length).toBeGreaterThan(20)
  expect(kept.filter((path) => !existsSync(join(root, path as string)))).toEqual([])
})

test('the tests have these names', () => {
  const missing: string[] = []
  for (const [, path = '', names = ''] of markdown.matchAll(/^- `(test\/[^`]+)`: (.*)$/gm)) {
    const text = readFileSync(join(root, path), 'utf8')
    for (const [, name = ''] of names.matchAll(/"([^"]+)"/g)) if (!text.includes(`'${name}'`)) missing.push(`${path}: ${name}`)
  }
  expect(missing).toEqual([])
})

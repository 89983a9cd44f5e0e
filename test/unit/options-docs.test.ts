import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { Option } from 'commander'
import { IGNORED, REFUSED } from '../../src/cli/options/ignored.ts'
import { OUTPUT_KEYS, REFUSED_OUTPUT_KEYS } from '../../src/cli/options/output.ts'
import { describeAll, program } from '../../src/cli/program.ts'
import { handlers } from '../support/handlers.ts'

const root = join(import.meta.dirname, '../..')
const document = readFileSync(join(root, 'docs/options.md'), 'utf8')
const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readFileSync(join(root, 'src', name), 'utf8'))
  .join('\n')

/** The first column of the table below a heading, and the second. */
function table(heading: string): Map<string, string> {
  const section = document.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? ''
  const rows = [...section.matchAll(/^\| `([^`]+)` \| ([^|]*(?:\\\|[^|]*)*)\|/gm)]
  return new Map(rows.map(([, name = '', what = '']) => [name, what.trim()]))
}

const options = table('Options')
const long = (flags: string) => new Option(flags).long as string

test('every option of the program has a row, and every row is an option; in order', () => {
  const build = describeAll(program('', handlers(), { done() {}, print() {} })).commands.find((command) => command.name() === 'build')
  const known = (build?.options ?? []).map((option) => option.long as string)
  expect([...options.keys()]).toEqual([...known].sort())
})

test('what is refused and what only warns is said so', () => {
  const saying = (text: string) => [...options].filter(([, what]) => what.startsWith(text)).map(([name]) => name)
  expect(saying('refused')).toEqual(REFUSED.map(({ flags }) => long(flags)).sort())
  expect(saying('warning')).toEqual(IGNORED.map(({ flags }) => long(flags)).sort())
})

test('keys of --output', () => {
  const keys = table('Keys of `--output`')
  const known = new Set(['annotation', ...Object.values(OUTPUT_KEYS).flat(), ...Object.keys(REFUSED_OUTPUT_KEYS)])
  expect([...keys.keys()]).toEqual([...known].sort())
  for (const [key, accepted] of Object.entries(REFUSED_OUTPUT_KEYS)) {
    const expected = accepted === undefined ? 'refused' : `\`${accepted}\` is accepted, otherwise refused`
    if (!Object.values(OUTPUT_KEYS).flat().includes(key)) expect([key, keys.get(key)]).toEqual([key, expected])
  }
})

test('variables and arguments that have a row are read', () => {
  const names = [...table('Variables').keys(), ...table('Build arguments of BuildKit').keys()]
  expect(names.length).toBeGreaterThan(20)
  expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(sources))).toEqual([])
})

test('variables that the sources read have a row', () => {
  const read = [...sources.matchAll(/(?:environment|env)\??\.((?:BUILDKIT|BUILDX|DOCKER|TBUILD|EXPERIMENTAL)_[A-Z_]+)/g)].map(
    ([, name]) => name,
  )
  const rows = table('Variables')
  expect(new Set(read).size).toBeGreaterThan(4)
  expect([...new Set(read)].filter((name) => !rows.has(name as string))).toEqual([])
})

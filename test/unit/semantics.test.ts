import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** docs/semantics.md is complete, and what it names is there. */
const root = join(import.meta.dirname, '../..')
const text = readFileSync(join(root, 'docs/semantics.md'), 'utf8')

/** Rules that must have a row; K, L and R are the engine's own and have one where a test names them. */
const RULES: Readonly<Record<string, number>> = { P: 21, H: 10, X: 10, G: 14, A: 16, F: 33, W: 20, O: 6, M: 16, D: 10, I: 12, E: 6 }

interface Row {
  readonly rule: string
  readonly evidence: readonly string[]
}

const rows: readonly Row[] = text.split('\n').flatMap((line) => {
  const [, rule, , tests, end] = /^\| ([A-Z]\d+|–) \| (.+) \| (.*) (\|)$/.exec(line) ?? []
  return end === undefined ? [] : [{ rule: rule as string, evidence: (tests as string).split('; ').filter((part) => part !== '') }]
})

const CORPUS: Readonly<Record<string, string>> = Object.fromEntries(
  ['differential', 'parse', 'parse-errors', 'plan'].map((kind) => [kind, join(root, 'test/corpus', kind)]),
)

/** What a piece of evidence names and is not there. */
function absent(evidence: string): string[] {
  const [kind = '', names] = evidence.split(': ', 2)
  const folder = CORPUS[kind]
  if (folder !== undefined) {
    const known = readdirSync(folder)
    const patterns = [...(names as string).matchAll(/`([^`]+)`/g)].map((match) => match[1] as string)
    const missing = patterns.filter((pattern) => !known.some((name) => matches(name, pattern)))
    return patterns.length === 0 ? [evidence] : missing
  }
  const paths = [...evidence.matchAll(/\btest\/[\w./-]+\.(?:ts|txt)/g)].map((match) => match[0])
  if (paths.length === 0) return [evidence]
  const files = paths.map((path) => join(root, path))
  const missing = paths.filter((_, index) => !existsSync(files[index] as string))
  if (missing.length > 0) return missing
  const quoted = [...evidence.matchAll(/"([^"]+)"|`([^`]+)`/g)].map((match) => (match[1] ?? match[2]) as string)
  return quoted.filter((words) => !files.some((file) => readFileSync(file, 'utf8').includes(words.replace(/^\(|\)$/g, ''))))
}

function matches(name: string, pattern: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
}

test('every rule has one row', () => {
  const wanted = Object.entries(RULES).flatMap(([letter, count]) => Array.from({ length: count }, (_, index) => `${letter}${index + 1}`))
  const found = rows.map(({ rule }) => rule)
  expect(wanted.filter((rule) => !found.includes(rule))).toEqual([])
  expect(found.filter((rule, index) => rule !== '–' && found.indexOf(rule) !== index)).toEqual([])
})

test('every row names a test', () => {
  expect(rows.filter(({ evidence }) => evidence.length === 0).map(({ rule }) => rule)).toEqual([])
})

test.each(rows)('what $rule names is there: $evidence', ({ evidence }) => {
  expect(evidence.flatMap(absent)).toEqual([])
})

test('every differential case is of a rule of the table, or of K, L or R', () => {
  const folder = CORPUS.differential as string
  const known = new Set(rows.map(({ rule }) => rule))
  const strays = readdirSync(folder)
    .filter((name) => existsSync(join(folder, name, 'case.json')))
    .map((name) => [name, JSON.parse(readFileSync(join(folder, name, 'case.json'), 'utf8')).rule as string] as const)
    .filter(([, rule]) => !known.has(rule) && !/^[KLR]\d+$/.test(rule))
  expect(strays).toEqual([])
})

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'

const root = join(import.meta.dirname, '../..')
const SRC = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))

/** What a status that is no number in the source stands for. */
const STATUSES: Readonly<Record<string, string>> = { CANCELED_STATUS: '130', code: "the command's", 'error.exitCode': '' }

/** The text of the call that begins at `start`, to its closing parenthesis; parentheses inside of strings are balanced in this code. */
function callAt(text: string, start: number): string {
  let depth = 0
  for (let at = text.indexOf('(', start); at < text.length; at += 1) {
    if (text[at] === '(') depth += 1
    if (text[at] === ')') depth -= 1
    if (depth === 0) return text.slice(start, at + 1)
  }
  throw new Error('a call without an end')
}

/** Every code that the sources give to a TbuildError, with its exit statuses. */
function codesInSource(): Map<string, Set<string>> {
  const codes = new Map<string, Set<string>>()
  const add = (code: string, status: string) => codes.set(code, new Set([...(codes.get(code) ?? []), status]))
  for (const name of SRC) {
    const text = readFileSync(join(root, 'src', name), 'utf8')
    for (const { index } of text.matchAll(/new TbuildError\(/g)) {
      const call = callAt(text, index)
      const first = call.slice('new TbuildError('.length).split(',', 1)[0] as string
      const status = /exitCode: ([\w.]+)/.exec(call)?.[1] ?? '1'
      const literals = [...first.replace(/=== '\w+'/g, '').matchAll(/'([A-Z][A-Z_]+)'/g)]
      for (const [, code] of literals) add(code as string, STATUSES[status] ?? status)
    }
    // Codes that are chosen first and thrown elsewhere: tables of causes, and arguments of the one function that takes a code.
    for (const [, code] of text.matchAll(/(?:\bcode: |\berror, )'([A-Z]+_[A-Z_]+)'/g)) add(code as string, '1')
  }
  return codes
}

function codesInDocument(): Map<string, string> {
  const rows = readFileSync(join(root, 'docs/errors.md'), 'utf8').matchAll(/^\| `([A-Z_]+)` \| ([^|]+) \| \S[^|]*\|$/gm)
  return new Map([...rows].map(([, code, status]) => [code as string, (status as string).trim()]))
}

test('docs/errors.md has every code of the sources with its exit status, and no other', () => {
  const found = [...codesInSource()].map(([code, statuses]): [string, string] => [code, [...statuses].join(', ')])
  expect(Object.fromEntries([...codesInDocument()].sort())).toEqual(Object.fromEntries(found.sort()))
})

test('each code stands once', () => {
  const text = readFileSync(join(root, 'docs/errors.md'), 'utf8')
  const codes = [...text.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, code]) => code)
  expect(codes).toEqual([...new Set(codes)])
  expect(codes.length).toBe(codesInDocument().size)
})

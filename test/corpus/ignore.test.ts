import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { MatchState } from '../../src/go/pattern-matcher.ts'
import { IgnoreMatcher } from '../../src/dockerfile/dockerignore.ts'

// ignore/README.md says how the cases are written.
const folder = join(import.meta.dirname, 'ignore')

interface Case {
  title: string
  patterns: string[]
  expected: string[]
}

function readCases(file: string): Case[] {
  const cases: Case[] = []
  let part: 'patterns' | 'expected' = 'patterns'
  for (const line of readFileSync(join(folder, file), 'utf8').replace(/\n$/, '').split('\n')) {
    if (line.startsWith('##')) continue
    if (line.startsWith('== ')) {
      cases.push({ title: line.slice(3), patterns: [], expected: [] })
      part = 'patterns'
    } else if (line === '--') part = 'expected'
    else cases.at(-1)?.[part].push(line)
  }
  return cases
}

/** As a walk does it: every directory's state is handed to its children. */
function walkTo(matcher: IgnoreMatcher, path: string): boolean {
  const parts = path.split('/')
  let state: MatchState | undefined
  for (const index of parts.keys()) {
    state = matcher.step(parts.slice(0, index + 1).join('/'), state)
    if (state.matched && index < parts.length - 1 && !matcher.mayReinclude(parts.slice(0, index + 1).join('/'))) return true
  }
  return state?.matched ?? false
}

describe.each(readdirSync(folder).filter((name) => name.endsWith('.txt')))('D ignore/%s', (file) => {
  test.each(readCases(file))('$title', ({ patterns, expected }) => {
    const content = patterns.join('\n')
    const first = expected[0] ?? ''
    if (first.startsWith('error: ')) {
      expect(() => IgnoreMatcher.parse('.dockerignore', content).matches('any')).toThrow(first.slice(7))
      return
    }
    const matcher = IgnoreMatcher.parse('.dockerignore', content)
    expect(expected.length).toBeGreaterThan(0)
    for (const line of expected) {
      const [, sign, path = '', decided] = /^([+-]) (.*?)(?: : (\d+))?$/.exec(line) ?? []
      expect([path, matcher.matches(path)]).toEqual([path, sign === '-'])
      expect([path, walkTo(matcher, path)]).toEqual([path, sign === '-'])
      if (decided !== undefined) expect(matcher.explain(path)?.line).toBe(Number(decided))
    }
  })
})

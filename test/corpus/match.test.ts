import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { goMatch } from '../../src/go/match.ts'

const rows = readFileSync(join(import.meta.dirname, 'match/go.txt'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('# '))
  .map((line) => line.split('|') as [pattern: string, name: string, expected: string])

test.each(rows)('F6 %s against %s: %s', (pattern, name, expected) => {
  if (expected === 'error') expect(() => goMatch(pattern, name)).toThrow('syntax error in pattern')
  else expect(goMatch(pattern, name)).toBe(expected === '+')
})

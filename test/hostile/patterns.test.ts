import { oneLine } from '../../src/cli/text.ts'
import { ShellPattern } from '../../src/dockerfile/shell-pattern.ts'
import { GoPattern } from '../../src/go/match.ts'
import { baseName } from '../../src/go/path.ts'
import { compilePattern } from '../../src/go/pattern-matcher.ts'
import { cost } from '../support/cost.ts'

/** The pattern has `size` parts that can each match at any place of the text, and an end that it has not. */
const attacks: Readonly<Record<string, (size: number) => unknown>> = {
  'an ignore pattern of many ** and *': (size) => compilePattern(`${'**/a*/'.repeat(size)}z`).test(`${'a/'.repeat(4 * size)}y`),
  'an ignore pattern of many *': (size) => compilePattern(`${'a*'.repeat(size)}z`).test('a'.repeat(4 * size)),
  'a wildcard of COPY with many *': (size) => GoPattern.compile(`${'a*'.repeat(size)}z`).matches('a'.repeat(4 * size)),
  'a pattern of ${name#pattern} with many *': (size) =>
    (ShellPattern.compile(`${'a*'.repeat(size)}z`) as ShellPattern).trimPrefix('a'.repeat(4 * size), true),
  'a path of slashes': (size) => baseName(`${'/'.repeat(1000 * size)}x`),
  'a heredoc of blanks': (size) => oneLine(`x${' '.repeat(1000 * size)}x`),
}

// Each grew as a power of the size, of which ten parts took minutes.
test.each(Object.entries(attacks))('%s takes pattern × text steps', (_name, attack) => {
  attack(10)
  expect(cost(() => attack(80), 1)).toBeLessThan(Math.max(5 * 16 * cost(() => attack(20)), 300))
})

import fc from 'fast-check'
import { compileIgnorePattern } from '../../../src/go/ignore-pattern.ts'
import { LinearPattern } from '../../../src/go/linear-pattern.ts'
import { translateGoRegExp } from '../../../src/go/regexp.ts'

/** What ignore patterns are made into: texts, classes, assertions and the three forms with a `*`. */
const piece = fc.constantFrom(
  'a',
  'b',
  '/',
  'é',
  '𝒳',
  '\\.',
  '[ab]',
  '[^a]',
  '[^/]',
  '[^/]*',
  '[ab]*',
  '.*',
  '(.*/)?',
  '\\b',
  '\\B',
  '^',
  '$',
  '\\w',
)
const path = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.', 'é', '𝒳', '\n', '\ud800'), maxLength: 8 })

test('D3 it agrees with the backtracking engine', () => {
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 7 }), fc.array(path, { minLength: 8, maxLength: 8 }), (parts, texts) => {
      const pieces = translateGoRegExp(`^${parts.join('')}$`) as string[]
      const engine = new RegExp(pieces.join(''), 'u')
      const linear = new LinearPattern(pieces)
      expect(texts.map((text) => linear.test(text))).toEqual(texts.map((text) => engine.test(text)))
    }),
    { numRuns: 3000 },
  )
})

test('D3 a pattern of many stars is as right as one of few', () => {
  const matches = compileIgnorePattern('**/a*/**/b?/*c*')
  expect(['a/b1/c', 'x/y/a9/z/bb/xcx', 'a/b/c', 'a/bb/x', 'a/bb/c/d'].map((text) => matches(text))).toEqual([
    true,
    true,
    false,
    false,
    false,
  ])
})

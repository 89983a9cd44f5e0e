import fc from 'fast-check'
import { baseName, cleanPath } from '../../../src/go/path.ts'

test.each([
  ['', '.'],
  ['/', '/'],
  ['//a//b/', '/a/b'],
  ['a/./b/../c', 'a/c'],
  ['../a', '../a'],
  ['a/../..', '..'],
  ['/../a', '/a'],
  ['/a/../../b', '/b'],
])('path.Clean(%j) is %j', (path, expected) => expect(cleanPath(path)).toBe(expected))

test('path.Base', () => {
  expect([baseName(''), baseName('//'), baseName('/a/b/')]).toEqual(['.', '/', 'b'])
})

test('cleaning is idempotent and never leaves the root', () => {
  const path = fc.string({ unit: fc.constantFrom('/', '.', '..', 'a', '/..', '\ud83d') })
  fc.assert(
    fc.property(path, (text) => {
      const cleaned = cleanPath(text)
      expect(cleanPath(cleaned)).toBe(cleaned)
      expect(cleanPath(`/${text}`).split('/')).not.toContain('..')
    }),
  )
})

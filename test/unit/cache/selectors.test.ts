import fc from 'fast-check'
import { dedupePaths, dedupeSelections } from '../../../src/cache/buildkit/selectors.ts'

test('a path in another counts once, a path with a longer name is another', () => {
  expect(dedupePaths(['/a/b', '/a', '/ab', '/a'])).toEqual(['/a', '/ab'])
  expect(dedupePaths(['/x', '/'])).toEqual(['/'])
})

test('no path that is left is in another, and each that was given is in one', () => {
  const path = fc.array(fc.constantFrom('a', 'b', 'ab'), { minLength: 1, maxLength: 4 }).map((parts) => `/${parts.join('/')}`)
  fc.assert(
    fc.property(fc.array(path, { minLength: 2, maxLength: 8 }), (paths) => {
      const left = dedupePaths(paths)
      const isIn = (one: string, other: string) => one === other || one.startsWith(`${other}/`)
      expect(left.every((one) => left.every((other) => one === other || !isIn(one, other)))).toBe(true)
      expect(paths.every((one) => left.some((other) => isIn(one, other)))).toBe(true)
    }),
  )
})

test('what has a wildcard is never left out', () => {
  const selections = [
    { path: '/a/*', wildcard: true, followLinks: true },
    { path: '/a', followLinks: true },
    { path: '/a/b', followLinks: true },
  ]
  expect(dedupeSelections(selections)).toEqual([
    { path: '/a', followLinks: true },
    { path: '/a/*', wildcard: true, followLinks: true },
  ])
})

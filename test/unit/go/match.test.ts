import fc from 'fast-check'
import { GoPattern, goMatch, hasWildcard, splitWildcard } from '../../../src/go/match.ts'
import { cost } from '../../support/cost.ts'

describe('F6 wildcards', () => {
  test('an invalid byte counts as one character', () => {
    expect(goMatch('a?b', Buffer.from([0x61, 0xff, 0x62]))).toBe(true)
    expect(goMatch('a?b', Buffer.from([0x61, 0xff, 0xfe, 0x62]))).toBe(false)
  })

  test('a malformed part fails only names that come to it, unless compiled whole', () => {
    expect(goMatch('b*[x-]', 'a')).toBe(false)
    expect(() => goMatch('b*[x-]', 'b')).toThrow('syntax error in pattern')
    expect(() => GoPattern.compile('b*[x-]')).toThrow('syntax error in pattern')
  })

  test('an escaped character is no wildcard', () => {
    expect(hasWildcard('a\\*b')).toBe(false)
    expect(hasWildcard('a\\\\*b')).toBe(true)
    expect(hasWildcard('a[b')).toBe(true)
  })

  test('a source is split before its first wildcard component', () => {
    expect(splitWildcard('/a/./b/c*/d')).toEqual({ base: '/a/b', pattern: 'c*/d', components: ['c*', 'd'] })
    expect(splitWildcard('/*')).toEqual({ base: '/', pattern: '*', components: ['*'] })
    expect(splitWildcard('*.go')).toEqual({ base: '', pattern: '*.go', components: ['*.go'] })
    expect(splitWildcard('a/b')).toEqual({ base: 'a/b', pattern: '' })
  })

  test('a class that may match a slash makes levels meaningless', () => {
    expect(splitWildcard('a[^x]b').components).toBeUndefined()
    expect(splitWildcard('a[!-z]b').components).toBeUndefined()
    expect(splitWildcard('a[xyz]b').components).toEqual(['a[xyz]b'])
  })
})

describe('properties', () => {
  const name = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.', 'é', '*', '[', '\\', '-'), maxLength: 12 })

  test('an escaped name matches itself and nothing else', () => {
    fc.assert(
      fc.property(name, name, (text, other) => {
        const pattern = text.replace(/[*?[\]\\-]/g, '\\$&')
        expect(goMatch(pattern, text)).toBe(true)
        expect(goMatch(pattern, other)).toBe(text === other)
      }),
    )
  })

  test('without a slash, stars and question marks match as the plain rule says', () => {
    const slow = (pattern: string[], text: string[]): boolean => {
      const [first, ...rest] = pattern
      if (first === undefined) return text.length === 0
      if (first === '*') return Array.from({ length: text.length + 1 }, (_, skip) => skip).some((skip) => slow(rest, text.slice(skip)))
      return text.length > 0 && (first === '?' || first === text[0]) && slow(rest, text.slice(1))
    }
    const part = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), maxLength: 7 })
    const plain = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 9 })
    fc.assert(fc.property(part, plain, (pattern, text) => expect(goMatch(pattern, text)).toBe(slow([...pattern], [...text]))))
  })

  test('only PATTERN_INVALID is ever thrown', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.uint8Array(), (pattern, bytes) => {
        try {
          goMatch(pattern, bytes)
        } catch (error) {
          expect((error as { code: string }).code).toBe('PATTERN_INVALID')
        }
      }),
    )
  })

  test('many stars stay cheap', () => {
    const match = (length: number) => goMatch(`${'a*'.repeat(50)}b`, 'a'.repeat(length))
    expect(match(4000)).toBe(false)
    const small = Math.max(
      cost(() => match(500)),
      10,
    )
    expect(cost(() => match(4000))).toBeLessThan(small * 8 * 8)
  })
})

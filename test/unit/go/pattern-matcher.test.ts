import fc from 'fast-check'
import { cleanPath } from '../../../src/go/path.ts'
import { PatternMatcher } from '../../../src/go/pattern-matcher.ts'

const parts = (path: string) => path.split('/').map((_, index, all) => all.slice(0, index + 1).join('/'))

describe('D3 names that are not UTF-8', () => {
  const matcher = PatternMatcher.compile(['a?c', 'dir/*', '**/x'])

  test('each invalid byte is one character', () => {
    expect(matcher.matches(Buffer.from([0x61, 0xff, 0x63]))).toBe(true)
    expect(matcher.matches(Buffer.from([0x61, 0xff, 0xfe, 0x63]))).toBe(false)
    expect(matcher.matches(Buffer.concat([Buffer.from('dir/'), Buffer.from([0x80])]))).toBe(true)
  })

  test('two names that differ only in invalid bytes stay apart', () => {
    const children = PatternMatcher.compile(['d', '!d/keep'])
    expect(children.matches(Buffer.concat([Buffer.from('d/'), Buffer.from([0xc3])]))).toBe(true)
    expect(PatternMatcher.compile(['\ufffd']).matches(Buffer.from([0xc3]))).toBe(false)
  })
})

test('the deciding pattern is named', () => {
  const matcher = PatternMatcher.compile(['*', '!a', '!b', 'b/c'])
  expect(matcher.resolve('x')).toMatchObject({ matched: true, by: 0 })
  expect(matcher.resolve('a')).toMatchObject({ matched: false, by: 1 })
  expect(matcher.resolve('b/c')).toMatchObject({ matched: true, by: 3 })
  expect(PatternMatcher.compile(['q']).resolve('x').by).toBe(-1)
})

describe('properties', () => {
  const segment = fc.constantFrom('a', 'b', 'ab', '*', '?', '**', 'a*', '*b', '[ab]', '[^a]')
  const pattern = fc
    .tuple(fc.boolean(), fc.array(segment, { minLength: 1, maxLength: 4 }))
    .map(([not, segments]) => (not ? '!' : '') + segments.join('/'))
  const path = fc.array(fc.constantFrom('a', 'b', 'ab', 'ba', '.x'), { minLength: 1, maxLength: 4 }).map((segments) => segments.join('/'))

  /** The rules read directly: a pattern is tried at a path and remembered below it; the last that applies wins. */
  function slow(patterns: string[], target: string): boolean {
    let remembered = new Set<string>()
    let matched = false
    for (const current of parts(target)) {
      matched = false
      const next = new Set<string>()
      for (const [index, text] of patterns.entries()) {
        const not = text.startsWith('!')
        const key = `${index}`
        const applies =
          remembered.has(key) || (not === matched && segmentsMatch(cleanPath(text).replace(/^!/, '').split('/'), current.split('/')))
        if (!applies) continue
        next.add(key)
        matched = !not
      }
      remembered = next
    }
    return matched
  }

  /** `**` stands for any number of components, at least one at the end. */
  function segmentsMatch(wanted: string[], given: string[]): boolean {
    const [first, ...rest] = wanted
    if (first === undefined) return given.length === 0
    if (first === '**') {
      if (rest.length === 0) return given.length > 0
      return [...given, ''].some((_, skip) => segmentsMatch(rest, given.slice(skip)))
    }
    return (
      given.length > 0 &&
      new RegExp(`^${first.replace(/\*/g, '[^/]*').replace(/\?/g, '[^/]').replace('.', '\\.')}$`).test(given[0] as string) &&
      segmentsMatch(rest, given.slice(1))
    )
  }

  test('D3 agrees with a direct reading of the rules', () => {
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 5 }), path, (patterns, target) => {
        expect(PatternMatcher.compile(patterns).matches(target)).toBe(slow(patterns, target))
      }),
      { numRuns: 2000 },
    )
  })

  test('D4 a directory that is not entered holds nothing that is taken back', () => {
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 5 }), path, (patterns, target) => {
        const matcher = PatternMatcher.compile(patterns)
        const pruned = parts(target)
          .slice(0, -1)
          .some((directory) => matcher.matches(directory) && !matcher.mayReinclude(directory))
        if (pruned) expect(matcher.matches(target)).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })

  test('only PATTERN_INVALID is ever thrown', () => {
    const odd = fc.string({ unit: fc.constantFrom('[', ']', '^', '-', '\\', '*', 'a', ':', '!', '/', '(', 'é', '.') })
    fc.assert(
      fc.property(odd, odd, (text, target) => {
        try {
          PatternMatcher.compile([text]).matches(target)
        } catch (error) {
          expect((error as { code: string }).code).toBe('PATTERN_INVALID')
        }
      }),
      { numRuns: 3000 },
    )
  })
})

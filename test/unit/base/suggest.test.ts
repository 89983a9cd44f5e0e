import { editDistance, suggestion, withSuggestion } from '../../../src/base/suggest.ts'

describe('E6 did you mean', () => {
  const instructions = ['FROM', 'RUN', 'COPY', 'CMD']

  test('the nearest name under three edits, in the case of what was written', () => {
    expect(suggestion('FORM', instructions)).toBe('FROM')
    expect(suggestion('form', instructions)).toBe('from')
    expect(suggestion('Frm', instructions)).toBe('from')
    expect(suggestion('VOLUME', instructions)).toBeUndefined()
  })

  test('case-sensitive names keep their case', () => {
    expect(suggestion('Bild', ['Build', 'build'], { caseSensitive: true })).toBe('Build')
  })

  test('a name that is there is no suggestion', () => {
    expect(suggestion('run', instructions)).toBeUndefined()
  })

  test('the first of equally near names', () => expect(suggestion('ac', ['ab', 'ad'])).toBe('ab'))

  test('the text is BuildKit’s', () => {
    expect(withSuggestion('unknown instruction: FORM', 'FORM', instructions)).toBe('unknown instruction: FORM (did you mean FROM?)')
    expect(withSuggestion('unknown flag: --x', 'xxxxxx', ['from'])).toBe('unknown flag: --x')
  })
})

test('edit distance', () => {
  expect(editDistance('kitten', 'sitting')).toBe(3)
  expect(editDistance('', 'ab')).toBe(2)
  expect(editDistance('👽', 'x')).toBe(1)
  expect(editDistance('abc', 'abc')).toBe(0)
})

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of Dockerfiles look like templates.
import fc from 'fast-check'
import { expandWord, expandWords } from '../../../src/dockerfile/word.ts'
import { cost } from '../../support/cost.ts'

const env = new Map([
  ['FOO', 'xxyy'],
  ['NULL', ''],
  ['TWO', 'a b'],
])

describe('names that a word asks for', () => {
  test('found and not found, in nested words too, used or not', () => {
    const { result, matched, unmatched } = expandWord('${FOO:-$a}${b:-${c:-$TWO}}', env)
    expect(result).toBe('xxyya b')
    expect([...matched].sort()).toEqual(['FOO', 'TWO'])
    expect([...unmatched].sort()).toEqual(['a', 'b', 'c'])
  })

  test('X1 a default is still a use of an unset name', () => {
    expect([...expandWord('${a:-x}', env).unmatched]).toEqual(['a'])
  })
})

describe('for display', () => {
  const show = (word: string) => expandWord(word, env, { keepQuotes: true, skipUnset: true }).result

  test('quotes stay and unset variables stay', () => {
    expect(show(`echo "$FOO" '$FOO' $x \${x} \${x:-a} \${x##b} \${x/a/b}`)).toBe(`echo "xxyy" '$FOO' $x \${x} \${x:-a} \${x##b} \${x/a/b}`)
  })
})

test('a word without $, quotes or escape is returned as it is', () => {
  expect(expandWord('plain/path.txt', env)).toEqual({ result: 'plain/path.txt', matched: new Set(), unmatched: new Set() })
  expect(expandWord('a\\b', env, { escape: '`' }).result).toBe('a\\b')
})

test('a byte order mark in front is dropped, elsewhere kept', () => {
  expect(expandWord('\ufeffa\ufeff', env).result).toBe('a\ufeff')
})

test('X6 * and ? do not match a newline', () => {
  const lines = new Map([['L', 'a\nb']])
  expect(expandWord('${L#*b}', lines).result).toBe('a\nb')
  expect(expandWord('${L//?/x}', lines).result).toBe('x\nx')
})

test('X6 a replacement of all knows $0, as Go’s ReplaceAllString', () => {
  expect(expandWord("${FOO//x/'<$0>'}", env).result).toBe('<x><x>yy')
  expect(expandWord("${FOO//x/'${1}$$'}", env).result).toBe('$$yy')
})

test('failures name the word and carry a code', () => {
  expect(() => expandWord('a"${x?no}"', env)).toThrow(
    expect.objectContaining({ code: 'EXPANSION_FAILED', message: 'failed to process "a\\"${x?no}\\"": x: no' }),
  )
})

describe('any string', () => {
  const odd = fc.string({
    unit: fc.constantFrom(
      '$',
      '{',
      '}',
      '"',
      "'",
      '\\',
      '`',
      ':',
      '-',
      '+',
      '?',
      '#',
      '%',
      '/',
      '*',
      'FOO',
      'x',
      '1',
      ' ',
      '\n',
      'é',
      '👽',
      '\udc80',
      '\ufeff',
    ),
    maxLength: 24,
  })
  const options = fc.record({
    escape: fc.constantFrom('\\' as const, '`' as const),
    raw: fc.boolean(),
    keepQuotes: fc.boolean(),
    skipUnset: fc.boolean(),
  })

  test('expands, or fails with EXPANSION_FAILED', () => {
    fc.assert(
      fc.property(odd, options, (word, chosen) => {
        for (const expand of [expandWord, expandWords]) {
          try {
            expand(word, env, chosen)
          } catch (error) {
            expect((error as { code?: string }).code).toBe('EXPANSION_FAILED')
          }
        }
      }),
      { numRuns: 5000 },
    )
  })

  test('in single quotes it is itself', () => {
    fc.assert(
      fc.property(odd, (word) => {
        const text = word.replaceAll("'", '')
        expect(expandWord(`'${text}'`, env).result).toBe(text)
      }),
    )
  })

  test('escaped character by character it is itself', () => {
    fc.assert(
      fc.property(odd, (word) => {
        const escaped = [...word].map((char) => `\\${char}`).join('')
        expect(expandWord(escaped, env).result).toBe(word)
        expect(expandWords(escaped, env)).toEqual(word === '' ? [] : [word])
      }),
    )
  })
})

describe('cost', () => {
  test('long heredoc bodies are linear', () => {
    const line = 'it\'s $FOO and "${x:-y}" \\$ '
    const small = Math.max(
      cost(() => expandWord(line.repeat(500), env, { raw: true })),
      10,
    )
    expect(cost(() => expandWord(line.repeat(4_000), env, { raw: true }))).toBeLessThan(small * 8 * 4)
  })

  test('nesting is limited, not the stack', () => {
    const nested = (depth: number) => `${'${x:-'.repeat(depth)}y${'}'.repeat(depth)}`
    expect(expandWord(nested(400), env).result).toBe('y')
    const deep = expect.objectContaining({ code: 'EXPANSION_FAILED' })
    expect(() => expandWord(nested(20_000), env)).toThrow(deep)
    expect(() => expandWord('"${x:-'.repeat(20_000), env)).toThrow(deep)
  })

  test('patterns with many stars stay polynomial', () => {
    const expand = (length: number) => cost(() => expandWord(`\${L##${'*a'.repeat(20)}*b}`, new Map([['L', 'a'.repeat(length)]])), 1)
    const small = Math.max(expand(300), 10)
    expect(expand(3_000)).toBeLessThan(small * 100 * 3)
  })
})

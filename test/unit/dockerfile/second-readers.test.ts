import fc from 'fast-check'
import { decodeFlag, type EscapeChar, lexInstruction } from '../../../grammar/lexer.ts'
import { findHeredocs } from '../../../src/dockerfile/heredoc.ts'
import { readImageReference } from '../../../src/values/image-reference.ts'

/** Rules of the language read a second time, character by character and in other ways than src does it, and both readings compared on random texts. */

const RUNS = { numRuns: 3_000 }

function text(pieces: readonly string[], maxLength = 14): fc.Arbitrary<string> {
  return fc.array(fc.constantFrom(...pieces), { maxLength }).map((parts) => parts.join(''))
}

class Malformed extends Error {}

/** What of a line of shell words H1 is about: a blank parts words, but for one that is quoted, escaped or behind `<<`. */
class LineReader {
  readonly #line: string
  readonly #keep: boolean
  #at = 0
  /** The word behind a modifier was read: what the word around it had before is lost. */
  #isLost = false

  /** `keep`: quotes stay. */
  constructor(line: string, keep: boolean) {
    this.#line = line
    this.#keep = keep
  }

  /** The text up to `stop` and its words; without `stop` to the end. */
  until(stop: string | undefined, escapes: boolean): { text: string; words: string[] } {
    let whole = ''
    const words: string[] = ['']
    const put = (piece: string, splits: boolean) => {
      whole += piece
      if (this.#isLost) words[words.length - 1] = ''
      this.#isLost = false
      for (const char of piece) {
        if (splits && /\s/.test(char)) words.push('')
        else words[words.length - 1] += char
      }
    }
    for (;;) {
      const char = this.#line[this.#at]
      if (char === undefined) break
      if (char === stop) {
        this.#at += 1
        this.#isLost = true
        return { text: whole, words: words.filter((word) => word !== '') }
      }
      if (char === "'") put(this.#single(), false)
      else if (char === '"') put(this.#double(escapes), false)
      else if (char === '$') put(this.#dollar(), true)
      else if (char === '\\') {
        put((escapes ? '\\' : '') + (this.#line[this.#at + 1] ?? ''), false)
        this.#at += 2
      } else if (this.#line.startsWith('<<', this.#at)) {
        const [found] = /^<<[ \t\r]*/.exec(this.#line.slice(this.#at)) as RegExpExecArray
        put(found, false)
        this.#at += found.length
      } else {
        put(char, true)
        this.#at += 1
      }
    }
    if (stop !== undefined) throw new Malformed()
    return { text: whole, words: words.filter((word) => word !== '') }
  }

  #single(): string {
    const end = this.#line.indexOf("'", this.#at + 1)
    if (end < 0) throw new Malformed()
    const inside = this.#line.slice(this.#at + 1, end)
    this.#at = end + 1
    return this.#keep ? `'${inside}'` : inside
  }

  #double(escapes: boolean): string {
    let inside = ''
    this.#at += 1
    for (;;) {
      const char = this.#line[this.#at]
      if (char === undefined) throw new Malformed()
      if (char === '"') break
      if (char === '$') inside += this.#dollar()
      else {
        this.#at += 1
        if (char !== '\\') inside += char
        else if (this.#at === this.#line.length) throw new Malformed()
        else {
          const next = this.#line[this.#at] as string
          inside += escapes ? '\\' : ''
          inside += /["$\\]/.test(next) ? next : '\\'
          if (/["$\\]/.test(next)) this.#at += 1
        }
      }
    }
    this.#at += 1
    return this.#keep ? `"${inside}"` : inside
  }

  /** No variable is set, so each stays as it is written, what stands in it having been read. */
  #dollar(): string {
    const name = /^\$(\w+|[-@*#?$!])?/
    if (this.#line[this.#at + 1] !== '{') {
      const [found] = name.exec(this.#line.slice(this.#at).replace(/^\$(\d+).*/s, '$$$1')) as RegExpExecArray
      this.#at += found.length
      return found
    }
    this.#at += 2
    if (/^[{}:]|^$/.test(this.#line.slice(this.#at))) throw new Malformed()
    const [inner] = /^(\d+|[A-Za-z_]\w*|[-@*#?$!])?/.exec(this.#line.slice(this.#at)) as RegExpExecArray
    this.#at += inner.length
    const rest = this.#line.slice(this.#at)
    if (rest.startsWith('}')) {
      this.#at += 1
      return `\${${inner}}`
    }
    if (rest.startsWith('/')) {
      const slashes = rest.startsWith('//') ? 2 : 1
      this.#at += slashes
      const pattern = this.until('/', true).text
      const replacement = this.until('}', true).text
      return `\${${inner}/${pattern}/${replacement}}`
    }
    const [operator] = /^(:[^#%]|[-+?#%])/s.exec(rest) ?? []
    if (operator === undefined) throw new Malformed()
    this.#at += operator.length
    return `\${${inner}${operator}${this.until('}', /[#%]/.test(operator)).text}}`
  }
}

/** Names of the heredocs of a line, `!` behind those that are not expanded; undefined when a delimiter is malformed. */
function heredocsByRule(line: string): string[] | undefined {
  let words: string[]
  try {
    words = new LineReader(line, true).until(undefined, true).words
  } catch {
    return []
  }
  const found: string[] = []
  for (const word of words) {
    const delimiter = /^\d*<<([^<]*)$/.exec(word)?.[1]?.replace(/^-/, '') ?? ''
    if (delimiter === '') continue
    try {
      const [name, more] = readDelimiter(delimiter)
      if (name !== undefined && more === undefined) found.push(name)
    } catch {
      return undefined
    }
  }
  return found
}

/** A delimiter loses its escapes and its quotes; one that has lost a quote is not expanded. */
function readDelimiter(delimiter: string): string[] {
  const bare = new LineReader(delimiter, false).until(undefined, false).words
  const [quoted = ''] = new LineReader(delimiter, true).until(undefined, false).words
  const count = (word: string) => word.split(/['"]/).length
  return bare.map((name) => (count(name) === count(quoted) ? name : `${name}!`))
}

const HEREDOC_PIECES = [
  '<<',
  '<<',
  '<<-',
  '<',
  '3',
  'E',
  'E',
  'F',
  ' ',
  ' ',
  '\t',
  '\v',
  '\r',
  '"',
  '"',
  "'",
  "'",
  '\\',
  '$',
  '$A',
  '${A',
  '${A:-',
  '${A/',
  '${A:#',
  '}',
  '}',
  '/',
  ':',
  '#',
  '-',
]

test('H1 H4 heredocs of a line', () => {
  fc.assert(
    fc.property(text(HEREDOC_PIECES), (line) => {
      let got: string[] | undefined
      try {
        got = findHeredocs(line).map(({ name, expand }) => (expand ? name : `${name}!`))
      } catch (error) {
        expect((error as { code?: string }).code).toBe('EXPANSION_FAILED')
      }
      expect(got).toEqual(heredocsByRule(line))
    }),
    RUNS,
  )
})

/** P13: words that begin with --, up to one that does not or is --, without their quotes and escapes. */
function flagsByRule(line: string, escapeChar: EscapeChar): string[] {
  const flags: string[] = []
  let word: string | undefined
  let quote = ''
  const rest = line.replace(/^\S+\s*/, '')
  for (let at = 0; at < rest.length; at += 1) {
    const char = rest[at] as string
    if (word === undefined) {
      if (/\s/.test(char)) continue
      if (!rest.startsWith('--', at)) return flags
      word = ''
    }
    if (char === escapeChar) {
      at += 1
      word += rest[at] ?? ''
    } else if (quote !== '') {
      if (char === quote) quote = ''
      else word += char
    } else if (char === '"' || char === "'") quote = char
    else if (/\s/.test(char)) {
      if (word === '--') return flags
      flags.push(word)
      word = undefined
    } else word += char
  }
  return word === undefined || word === '--' ? flags : [...flags, word]
}

test.each(['\\', '`'] as const)('P13 flags with the escape %s', (escapeChar) => {
  const pieces = ['--', '--', '-', 'a', 'from', '=', ' ', ' ', '\t', '"', "'", '\\', '`', 'x']
  fc.assert(
    fc.property(text(pieces), (tail) => {
      const line = `RUN ${tail}x`
      const tokens = lexInstruction(line, escapeChar).filter(({ type }) => type === 'flag')
      expect(tokens.map(({ value }) => decodeFlag(value, escapeChar))).toEqual(flagsByRule(line, escapeChar))
    }),
    RUNS,
  )
})

/** distribution/reference in one pattern, and go-digest behind it. */
function isReference(name: string): boolean {
  if (/^[a-f0-9]{64}$/.test(name)) return false
  const [first = '', ...rest] = name.split('/')
  const hasDomain = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase())
  const [domain, path] =
    hasDomain && first !== 'docker.io' && first !== 'index.docker.io' ? [first, rest] : ['docker.io', hasDomain ? rest : [first, ...rest]]
  const whole = [domain, ...(domain === 'docker.io' && path.length === 1 ? ['library'] : []), ...path].join('/')
  const label = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?'
  const component = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*'
  const algorithm = '[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*'
  const pattern = `^(?:${label}(?:\\.${label})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?/(${component}(?:/${component})*)(?::[\\w][\\w.-]{0,127})?(?:@(${algorithm}):([0-9a-fA-F]{32,}))?$`
  const [, repository, kind, hex = ''] = new RegExp(pattern).exec(whole) ?? []
  if (repository === undefined || repository.length > 255) return false
  return kind === undefined || ({ sha256: 64, sha384: 96, sha512: 128 }[kind] === hex.length && hex === hex.toLowerCase())
}

test('image names', () => {
  const algorithms = { sha256: 64, sha384: 96, sha512: 128, md5: 32, SHA256: 64 }
  const digests = Object.entries(algorithms)
    .flatMap(([name, length]) => ['a', 'A', 'ab'].map((hex) => `@${name}:${hex.repeat(length)}`))
    .concat(':b', 'x')
  const pieces = [
    'a',
    'b1',
    'A',
    '.',
    '_',
    '__',
    '-',
    '--',
    '/',
    ':',
    '@',
    'sha256:',
    'sha384:',
    'sha512:',
    'md5:',
    'sha256+b64:',
    'a'.repeat(32),
    'a'.repeat(64),
    'F'.repeat(64),
    'localhost',
    '[::1]',
    '5000',
    'é',
  ]
  fc.assert(
    fc.property(
      fc.oneof(
        text(pieces, 8),
        text(digests, 2).map((tail) => `a${tail}`),
        fc
          .tuple(fc.constantFrom('', 'a/', 'docker.io/', 'x.y/'), fc.integer({ min: 240, max: 260 }))
          .map(([start, length]) => start + 'a'.repeat(length)),
      ),
      (name) => {
        expect(typeof readImageReference(name) !== 'string').toBe(isReference(name))
      },
    ),
    { numRuns: 20_000 },
  )
})

/**
 * The part of Go's regular expressions that ignore patterns turn into, as JavaScript's. Differences that matter: `.` excludes only \n, classes know
 * `[:alpha:]`, a `]` alone is itself, an escaped letter must be known.
 */

const SYNTAX = /[\^$\\.*+?()[\]{}|/]/
const PERL: Record<string, string> = { d: '0-9', w: '0-9A-Za-z_', s: '\\t\\n\\f\\r ' }
const CONTROL: Record<string, string> = { a: '\u0007', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' }
const ZERO_WIDTH: Record<string, string> = { A: '^', z: '$', b: '\\b', B: '\\B' }
const POSIX: Record<string, string> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  ascii: '\\x00-\\x7f',
  blank: '\\t ',
  cntrl: '\\x00-\\x1f\\x7f',
  digit: '0-9',
  graph: '!-~',
  lower: 'a-z',
  print: ' -~',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\t\\n\\v\\f\\r ',
  upper: 'A-Z',
  word: '0-9A-Za-z_',
  xdigit: '0-9A-Fa-f',
}

/**
 * The pieces of JavaScript's form, in order: what takes one character, an assertion, or one of `(?:` `)` `?` `*`. undefined when Go would not compile
 * it. Octal, \x, \p and \Q escapes, which Go knows, are refused: no path pattern means them.
 */
export function translateGoRegExp(source: string): string[] | undefined {
  const reader = new Reader(source)
  const pieces: string[] = []
  while (!reader.done) {
    const piece = reader.peek() === '[' ? readClass(reader) : readAtom(reader)
    if (piece === undefined) return undefined
    pieces.push(piece)
  }
  return pieces
}

class Reader {
  readonly #chars: readonly string[]
  #at = 0

  constructor(source: string) {
    this.#chars = [...source]
  }

  get done(): boolean {
    return this.#at >= this.#chars.length
  }

  peek(ahead = 0): string {
    return this.#chars[this.#at + ahead] ?? ''
  }

  next(): string {
    return this.#chars[this.#at++] ?? ''
  }

  /** The name in `[:name:]`, which is passed over; undefined when this is no such group. */
  groupName(): string | undefined {
    if (this.peek() !== '[' || this.peek(1) !== ':') return undefined
    for (let end = this.#at + 2; end + 1 < this.#chars.length; end++) {
      if (this.#chars[end] !== ':' || this.#chars[end + 1] !== ']') continue
      const name = this.#chars.slice(this.#at + 2, end).join('')
      this.#at = end + 2
      return name
    }
    return undefined
  }
}

function readAtom(reader: Reader): string | undefined {
  const char = reader.next()
  if (char === '.') return '[^\\n]'
  if (char === '(') return '(?:'
  if ('^$*?)'.includes(char)) return char
  if (char !== '\\') return literal(char)
  const escaped = reader.next()
  const group = perlGroup(escaped)
  if (group !== undefined) return group
  const known = ZERO_WIDTH[escaped]
  if (known !== undefined) return known
  const single = escapedCharacter(escaped)
  return single === undefined ? undefined : literal(single)
}

function literal(char: string): string {
  return SYNTAX.test(char) ? `\\${char}` : char
}

function perlGroup(letter: string): string | undefined {
  const group = PERL[letter.toLowerCase()]
  if (group === undefined) return undefined
  return letter === letter.toLowerCase() ? `[${group}]` : `[^${group}]`
}

/** What `\x` stands for: punctuation is itself, a few letters are control characters. */
function escapedCharacter(char: string): string | undefined {
  return CONTROL[char] ?? (/^[!-/:-@[-`{-~ ]$/.test(char) || (char < ' ' && char !== '') ? char : undefined)
}

/** From `[` to its `]`; one directly after `[` or `[^` is a member. */
function readClass(reader: Reader): string | undefined {
  reader.next()
  const negated = reader.peek() === '^'
  if (negated) reader.next()
  const members: string[] = []
  for (let first = true; first || reader.peek() !== ']'; first = false) {
    if (reader.done) return undefined
    const member = readNamed(reader) ?? readPerl(reader) ?? readRange(reader)
    if (member === undefined || member === 'unknown') return undefined
    members.push(member)
  }
  reader.next()
  return `[${negated ? '^' : ''}${members.join('')}]`
}

function readNamed(reader: Reader): string | undefined {
  const name = reader.groupName()
  if (name === undefined) return undefined
  const group = POSIX[name.replace(/^\^/, '')]
  if (typeof group !== 'string') return 'unknown'
  return name.startsWith('^') ? complement(group) : group
}

function readPerl(reader: Reader): string | undefined {
  if (reader.peek() !== '\\') return undefined
  const letter = reader.peek(1)
  const group = PERL[letter.toLowerCase()]
  if (group === undefined || letter === '') return undefined
  reader.next()
  reader.next()
  return letter === letter.toLowerCase() ? group : complement(group)
}

/** The other characters of a group, as ranges. */
function complement(group: string): string {
  const inside = new RegExp(`[${group}]`, 'u')
  let ranges = ''
  for (let point = 0; point < 0x80; point++) {
    if (!inside.test(String.fromCharCode(point))) ranges += hex(point)
  }
  return `${ranges}\\u{80}-\\u{10ffff}`
}

function readRange(reader: Reader): string | undefined {
  const low = readMember(reader)
  if (low === undefined) return undefined
  if (reader.peek() !== '-' || reader.peek(1) === ']' || reader.peek(1) === '') return hex(low)
  reader.next()
  const high = readMember(reader)
  return high === undefined || high < low ? undefined : `${hex(low)}-${hex(high)}`
}

function readMember(reader: Reader): number | undefined {
  const char = reader.next()
  return (char === '\\' ? escapedCharacter(reader.next()) : char)?.codePointAt(0)
}

function hex(point: number): string {
  return `\\u{${point.toString(16)}}`
}

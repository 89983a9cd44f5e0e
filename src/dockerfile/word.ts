import { parseWord } from '../../grammar/word.ts'
import type { Replacement, Substitution, WordPart } from '../../grammar/word-ast.ts'
import { TbuildError } from '../base/errors.ts'
import { goQuote } from '../go/quote.ts'
import { isSpace } from '../go/space.ts'
import { ShellPattern } from './shell-pattern.ts'

/** Variable expansion of Dockerfile words as BuildKit's shell lexer does it (docs/semantics.md, X). Pure: nothing here reads the process's environment. */

/** What words are expanded with; names are case-sensitive. */
export interface Environment {
  get(name: string): string | undefined
}

export interface ExpandOptions {
  /** `\` unless the file says `# escape=` with a backtick. */
  readonly escape?: '\\' | '`'
  /** Quotes are ordinary characters: the bodies of COPY heredocs (H7). */
  readonly raw?: boolean
  /** Quotes are kept around what they quote, for showing a command. */
  readonly keepQuotes?: boolean
  /** Variables that are not set stay as they are written, for showing a command. */
  readonly skipUnset?: boolean
  /** Escape characters stay in front of what they escape: lines that are looked through for heredocs. */
  readonly keepEscapes?: boolean
}

export interface ExpandedWord {
  readonly result: string
  /** Names that were asked for, found and not found. */
  readonly matched: ReadonlySet<string>
  readonly unmatched: ReadonlySet<string>
}

/** Blanks in these part no words. */
const WHOLE: ReadonlySet<WordPart['kind']> = new Set(['escape', 'single', 'double', 'heredoc'])
/** Far beyond any use, well within the stack. */
const DEEPEST = 500
const NONE: ReadonlySet<string> = new Set()
/** Text without these is its own expansion. A byte order mark in front is dropped, as Go's scanner does. */
const SPECIAL = { '\\': /[$'"\\]|^\ufeff/, '`': /[$'"`]|^\ufeff/ }

/** Expands to one word; spaces that a variable brings stay (X1–X6). Throws EXPANSION_FAILED with BuildKit's text, without a span. */
export function expandWord(word: string, env: Environment, options: ExpandOptions = {}): ExpandedWord {
  if (!SPECIAL[options.escape ?? '\\'].test(word)) return { result: word, matched: NONE, unmatched: NONE }
  return run(word, env, options, (expander, parts) => expander.join(parts))
}

/** Expands to words, split at unquoted white space after expansion; empty words vanish (X9: EXPOSE). Throws EXPANSION_FAILED. */
export function expandWords(word: string, env: Environment, options: ExpandOptions = {}): string[] {
  return run(word, env, options, (expander, parts) => expander.split(parts)).result
}

function run<T>(word: string, env: Environment, options: ExpandOptions, evaluate: (expander: Expander, parts: readonly WordPart[]) => T) {
  const source = word.startsWith('\ufeff') ? word.slice(1) : word
  const expander = new Expander(env, options, source.length)
  try {
    const parts = parseWord(source, { escape: options.escape ?? '\\', quotes: !options.raw })
    return { result: evaluate(expander, parts), matched: expander.matched, unmatched: expander.unmatched }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    const failure = new TbuildError('EXPANSION_FAILED', `failed to process ${goQuote(word)}: ${error.message}`)
    askedInVain.set(failure, expander.unmatched)
    throw failure
  }
}

const askedInVain = new WeakMap<object, ReadonlySet<string>>()

/** The names that were asked for in vain before an expansion failed: checks tell of them all the same. */
export function unmatchedBefore(failure: unknown): ReadonlySet<string> {
  return askedInVain.get(failure as object) ?? NONE
}

/** A failure and the offset that BuildKit has read up to when it fails: at the end of the word, an enclosing `${` is what it reports. */
class Failure extends Error {
  readonly end: number

  constructor(message: string, end: number) {
    super(message)
    this.end = end
  }
}

class Expander {
  readonly matched = new Set<string>()
  readonly unmatched = new Set<string>()
  readonly #env: Environment
  readonly #options: ExpandOptions
  readonly #length: number
  #depth = 0

  constructor(env: Environment, options: ExpandOptions, length: number) {
    this.#env = env
    this.#options = options
    this.#length = length
  }

  /** `raw`: escape characters stay, for patterns. */
  join(parts: readonly WordPart[], raw = false): string {
    if (++this.#depth > DEEPEST) throw new Failure(`substitutions are nested more than ${DEEPEST} deep`, -1)
    let result = ''
    for (const part of parts) result += this.#part(part, raw)
    this.#depth--
    return result
  }

  split(parts: readonly WordPart[]): string[] {
    const words: string[] = []
    let word = ''
    const end = () => {
      if (word !== '') words.push(word)
      word = ''
    }
    for (const part of parts) {
      const text = this.#part(part, this.#options.keepEscapes === true)
      if (emptiesWord(part)) word = ''
      if (WHOLE.has(part.kind)) word += text
      else {
        for (const char of text) {
          if (isSpace(char)) end()
          else word += char
        }
      }
    }
    end()
    return words
  }

  #part(part: WordPart, raw: boolean): string {
    switch (part.kind) {
      case 'text':
      case 'heredoc':
        return part.text
      case 'escape':
        return raw ? this.#escape + part.text : part.text
      case 'loneEscape':
        // In a pattern BuildKit writes it once as raw and once as unescaped.
        return raw ? this.#escape + this.#escape : this.#escape
      case 'single':
        if (!part.closed) throw new Failure('unexpected end of statement while looking for matching single-quote', this.#length)
        return this.#quote("'", part.text)
      case 'double':
        return this.#double(part, raw)
      case 'variable':
        return this.#get(part.name) ?? (this.#options.skipUnset ? `$${part.name}` : '')
      case 'substitution':
        return this.#substitution(part)
      case 'replacement':
        return this.#replacement(part)
      case 'broken':
        throw new Failure(part.message, part.end)
    }
  }

  get #escape(): string {
    return this.#options.escape ?? '\\'
  }

  #quote(quote: string, text: string): string {
    return this.#options.keepQuotes ? quote + text + quote : text
  }

  #double(part: Extract<WordPart, { kind: 'double' }>, raw: boolean): string {
    const text = this.join(part.parts, raw)
    if (!part.closed) throw new Failure('unexpected end of statement while looking for matching double-quote', this.#length)
    return this.#quote('"', text)
  }

  #get(name: string): string | undefined {
    const value = this.#env.get(name)
    ;(value === undefined ? this.unmatched : this.matched).add(name)
    return value
  }

  /** A part of `${…}` up to its stop; without the stop, or failing at the end of the word, `missing` is the failure. */
  #inner(parts: readonly WordPart[], raw: boolean, closed: boolean, missing: string): string {
    let text: string
    try {
      text = this.join(parts, raw)
    } catch (error) {
      if (error instanceof Failure && error.end === this.#length) throw new Failure(missing, this.#length)
      throw error
    }
    if (!closed) throw new Failure(missing, this.#length)
    return text
  }

  #substitution({ name, operator, word, closed, end }: Substitution): string {
    if (operator === '') return this.#get(name) ?? (this.#options.skipUnset ? `\${${name}}` : '')
    const action = operator.startsWith(':') ? operator.slice(1) : operator
    const text = this.#inner(word, action === '#' || action === '%', closed, "syntax error: missing '}'")
    const value = this.#get(name)
    if (value === undefined && this.#options.skipUnset) return `\${${name}${operator}${text}}`
    const absent = value === undefined || (value === '' && operator.startsWith(':'))
    switch (action) {
      case '-':
        return absent ? text : value
      case '+':
        return absent ? '' : text
      case '?':
        if (!absent) return value
        throw new Failure(`${name}: ${text || `is not allowed to be ${value === undefined ? 'unset' : 'empty'}`}`, end)
      case '#':
      case '%':
        return trim(value ?? '', text, action, end)
      default:
        throw new Failure(`unsupported modifier (${operator}) in substitution`, end)
    }
  }

  #replacement({ name, all, pattern, replacement, closed, end }: Replacement): string {
    const wanted = this.#inner(pattern, true, replacement !== undefined, `syntax error: missing '/' in \${}`)
    const substitute = this.#inner(replacement ?? [], true, closed, "syntax error: missing '}'")
    const value = this.#get(name)
    if (value === undefined && this.#options.skipUnset) return `\${${name}/${wanted}/${substitute}}`
    const compiled = compile(wanted, wanted, end)
    return all ? compiled.replaceAll(value ?? '', substitute) : compiled.replaceFirst(value ?? '', substitute)
  }
}

/** BuildKit reads what stands behind a modifier into the buffer of the word around it: what that word had before is lost. */
function emptiesWord(part: WordPart): boolean {
  if (part.kind === 'double') return part.parts.some(emptiesWord)
  return part.kind === 'replacement' || (part.kind === 'substitution' && part.operator !== '')
}

/** `${name#pattern}` and `${name%pattern}`; doubled, which may come out of the word's expansion, they take the longest match. */
function trim(value: string, word: string, action: '#' | '%', end: number): string {
  const longest = word.startsWith(action)
  const pattern = longest ? word.slice(1) : word
  if (action === '#') return compile(pattern, pattern, end).trimPrefix(value, longest)
  const reversed = ShellPattern.reverse(pattern)
  // BuildKit trims a suffix as a prefix of the reversed text, and its error shows the reversed pattern.
  return reverse(compile(reversed, reversed, end).trimPrefix(reverse(value), longest))
}

function reverse(text: string): string {
  return [...text].reverse().join('')
}

function compile(pattern: string, shown: string, end: number): ShellPattern {
  const compiled = ShellPattern.compile(pattern)
  if (typeof compiled === 'string') throw new Failure(`invalid pattern (${shown}) in substitution: ${compiled}`, end)
  return compiled
}

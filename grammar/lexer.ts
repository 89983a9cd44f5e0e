import moo from 'moo'
import type { GrammarToken } from './parse.ts'

/** What Go calls a blank in unicode.IsSpace, and what it splits words at. */
const SPACE = '\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'
const BLANK = '\\t\\v\\f\\r '

/** How the rest of an instruction's line is read, by instruction. */
const ARGUMENTS = {
  run: 'command',
  cmd: 'command',
  entrypoint: 'command',
  shell: 'command',
  copy: 'list',
  add: 'list',
  volume: 'list',
  from: 'words',
  expose: 'words',
  maintainer: 'line',
  user: 'line',
  workdir: 'line',
  stopsignal: 'line',
  env: 'pairs',
  label: 'pairs',
  arg: 'settings',
  healthcheck: 'check',
  onbuild: 'trigger',
} as const

export type Keyword = keyof typeof ARGUMENTS
export const KEYWORDS = Object.keys(ARGUMENTS) as readonly Keyword[]

type Form = (typeof ARGUMENTS)[Keyword]

/** The instruction that a keyword, in any case, names. */
export function keywordOf(written: string): Keyword | 'unknown' {
  const name = written.toLowerCase()
  return Object.hasOwn(ARGUMENTS, name) ? (name as Keyword) : 'unknown'
}

export type EscapeChar = '\\' | '`'

const all = (pattern: string): moo.Rule => ({ match: new RegExp(pattern), lineBreaks: true })

/** `'…'` has no escapes, `"…"` has; a quote that is not closed runs to the end. An escape as the very last character is dropped. */
function settingRules(escapeChar: EscapeChar): moo.Rules {
  const e = escapeChar === '\\' ? '\\\\' : '`'
  const part = `'[^']*'?|"(?:${e}[\\s\\S]|[^"${e}]+)*"?|${e}[\\s\\S]`
  const plain = `[^${SPACE}'"${e}]+`
  return {
    space: all(`[${SPACE}]+`),
    // The name may be quoted too: everything up to the first = wherever it stands.
    setting: all(`(?:${part}|${plain})+`),
    stray: all(`${e}`),
  }
}

/** Quotes of both kinds have escapes in flags. */
function flagRules(space: string, escapeChar: EscapeChar): moo.Rules {
  const e = escapeChar === '\\' ? '\\\\' : '`'
  return {
    space: all(`[${space}]+`),
    flag: all(`--(?:"(?:${e}[\\s\\S]|[^"${e}]+)*"?|'(?:${e}[\\s\\S]|[^'${e}]+)*'?|${e}[\\s\\S]?|[^${space}"'${e}]+)*`),
    rest: all('[\\s\\S]+'),
  }
}

function compile(escapeChar: EscapeChar): moo.Lexer {
  return moo.states(
    {
      flags: flagRules(SPACE, escapeChar),
      byteFlags: flagRules('\\t-\\r \\u0085\\u00a0', escapeChar),
      words: { word: all(`[^${BLANK}]+`), blank: all(`[${BLANK}]+`) },
      type: { word: all(`[^${SPACE}]+`), space: all(`[${SPACE}]+`) },
      array: {
        open: '[',
        close: ']',
        comma: ',',
        string: all('"(?:\\\\[\\s\\S]|[^"\\\\])*"'),
        blank: all('[ \\t\\n\\r]+'),
        other: all('[^\\[\\],"]+'),
      },
      settings: settingRules(escapeChar),
    },
    'flags',
  )
}

type State = 'flags' | 'byteFlags' | 'words' | 'type' | 'array' | 'settings'
const compiled: Partial<Record<EscapeChar, moo.Lexer>> = {}
const SKIPPED = new Set(['space', 'blank', 'stray'])

/** Found from a blank or the word itself on. */
const KEYWORD = new RegExp(`[^${BLANK}]+`, 'g')
const NON_ASCII = /[^\0-\x7f]/
const DASH = 0x2d
const LAST_ASCII = 0x7f

/** A blank of `SPACE` that is one however the line is read. */
function isAsciiBlank(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d)
}

/** The tokens of one logical line: keyword, flags, arguments. Never fails: any text has tokens, the grammar decides. */
export function lexInstruction(line: string, escapeChar: EscapeChar): GrammarToken[] {
  return new InstructionLexer(line, escapeChar).instruction()
}

class InstructionLexer {
  readonly #lexer: moo.Lexer
  readonly #escapeChar: EscapeChar
  readonly #line: string
  readonly #tokens: GrammarToken[] = []
  #position: number
  readonly #end: number
  readonly #isAscii: boolean

  constructor(line: string, escapeChar: EscapeChar) {
    this.#lexer = compiled[escapeChar] ??= compile(escapeChar)
    this.#escapeChar = escapeChar
    this.#line = line
    this.#position = line.length - trimStart(line).length
    this.#end = trimEnd(line).length
    this.#isAscii = !NON_ASCII.test(line)
  }

  instruction(): GrammarToken[] {
    this.#keyword()
    this.#flags()
    if (this.#form === 'trigger' && this.#position < this.#end) {
      this.#keyword()
      // What follows a second ONBUILD is never looked at: the chain itself is the error (O2).
      if (this.#form === 'trigger') this.#position = this.#end
      else this.#flags()
    }
    this.#arguments()
    return this.#tokens
  }

  #form: Form = 'line'

  /** Reads the keyword; its token's type is the instruction's name. */
  #keyword(): void {
    KEYWORD.lastIndex = this.#position
    const { index = this.#position, 0: found = '' } = KEYWORD.exec(this.#line) ?? {}
    const value = this.#line.slice(index, Math.min(index + found.length, this.#end))
    const name = keywordOf(value)
    this.#form = name === 'unknown' ? 'line' : ARGUMENTS[name]
    this.#position = index + value.length
    this.#tokens.push({ type: `${this.#form}Keyword`, value, offset: index })
  }

  /** P13: words that begin with --, up to the first that does not, or up to a bare --. */
  #flags(): void {
    if (this.#hasNoFlag()) return
    for (;;) {
      const [token] = this.#flag()
      if (token?.type !== 'flag') {
        if (token) this.#position = token.offset
        return
      }
      if (decodeFlag(token.value, this.#escapeChar) === '--') {
        this.#skipSpace()
        return
      }
      this.#tokens.push(token)
    }
  }

  /** Most instructions have none, which one look tells: behind blanks of ASCII stands a character of ASCII that begins no flag. Moves behind the blanks. */
  #hasNoFlag(): boolean {
    let at = this.#position
    while (at < this.#end && isAsciiBlank(this.#line.charCodeAt(at))) at += 1
    const next = this.#line.charCodeAt(at)
    if (at < this.#end && (next === DASH || next > LAST_ASCII)) return false
    this.#position = at
    return true
  }

  /** BuildKit reads flags byte by byte and takes each byte for a character: é is Ã and ©, and the second byte of à is a blank. */
  #flag(): GrammarToken[] {
    if (this.#isAscii) return this.#read('flags', 1)
    const rest = this.#line.slice(this.#position, this.#end)
    if (!/^\s*--/.test(rest)) return this.#read('flags', 1)
    const base = this.#position
    const bytes = Buffer.from(rest).toString('latin1')
    const offsetOf = (byte: number) => base + Buffer.from(bytes.slice(0, byte), 'latin1').toString().length
    this.#lexer.reset(bytes, { state: 'byteFlags', line: 1, col: 1 } as moo.LexerState)
    let token = this.#lexer.next()
    if (token?.type === 'space') token = this.#lexer.next()
    if (token === undefined) return []
    this.#position = offsetOf(token.offset + token.text.length)
    return [{ type: token.type ?? '', value: token.value, offset: offsetOf(token.offset) }]
  }

  #skipSpace(): void {
    const rest = this.#line.slice(this.#position, this.#end)
    this.#position += rest.length - trimStart(rest).length
  }

  #arguments(): void {
    const kind = this.#form
    if (kind === 'trigger') return
    if (kind === 'pairs') {
      this.#pairs()
      return
    }
    if (kind === 'check') {
      this.#tokens.push(...this.#read('type', 1))
      this.#skipSpace()
    }
    const state = this.#stateOf(kind)
    if (state === 'text') this.#text()
    else this.#all(state)
  }

  #stateOf(kind: 'command' | 'check' | 'list' | 'words' | 'line' | 'settings'): State | 'text' {
    if (kind === 'list') return this.#isArray() ? 'array' : 'words'
    if (kind === 'command' || kind === 'check') return this.#isArray() ? 'array' : 'text'
    return kind === 'line' ? 'text' : kind
  }

  /** The first word decides: without a = it is `NAME rest of the line` (P17). */
  #pairs(): void {
    const start = this.#position
    const [first] = this.#read('settings', 1)
    this.#position = start
    if (first === undefined || first.type === 'assignment') {
      this.#all('settings')
      return
    }
    this.#tokens.push(...this.#read('words', 1))
    this.#position += /^[\t\v\f\r ]+/.exec(this.#line.slice(this.#position, this.#end))?.[0].length ?? 0
    this.#text()
  }

  /** All that is left, as one. */
  #text(): void {
    if (this.#position >= this.#end) return
    this.#tokens.push({ type: 'text', value: this.#line.slice(this.#position, this.#end), offset: this.#position })
    this.#position = this.#end
  }

  /** P15: only what JSON accepts is an array; the grammar then insists on strings. */
  #isArray(): boolean {
    if (this.#line[this.#position] !== '[') return false
    try {
      return Array.isArray(JSON.parse(this.#line.slice(this.#position, this.#end)))
    } catch {
      return false
    }
  }

  #all(state: State): void {
    for (const token of this.#read(state)) this.#tokens.push(token)
  }

  /** Up to `limit` tokens from here, without the blanks; moves behind them. */
  #read(state: State, limit = Number.POSITIVE_INFINITY): GrammarToken[] {
    const base = this.#position
    const found: GrammarToken[] = []
    if (base >= this.#end) return found
    this.#lexer.reset(this.#line.slice(base, this.#end), { state, line: 1, col: 1 } as moo.LexerState)
    while (found.length < limit) {
      const token = this.#lexer.next()
      if (token === undefined) break
      this.#position = base + token.offset + token.text.length
      const type = token.type ?? ''
      if (SKIPPED.has(type)) continue
      found.push({
        type: type === 'setting' ? (token.value.includes('=') ? 'assignment' : 'bare') : type,
        value: token.value,
        offset: base + token.offset,
      })
    }
    return found
  }
}

/** A flag without its quotes and escapes. */
export function decodeFlag(text: string, escapeChar: EscapeChar): string {
  let decoded = ''
  let quote = ''
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] as string
    if (quote === '' && (char === '"' || char === "'")) quote = char
    else if (char === quote) quote = ''
    else if (char === escapeChar) {
      at += 1
      decoded += text[at] ?? ''
    } else decoded += char
  }
  return decoded
}

const LEADING = new RegExp(`^[${SPACE}]+`)

/** strings.TrimLeftFunc(text, unicode.IsSpace) */
export function trimStart(text: string): string {
  if (isPrinted(text.charCodeAt(0))) return text
  return text.replace(LEADING, '')
}

/** What most lines begin and end with: a character of ASCII that is no blank. */
function isPrinted(code: number): boolean {
  return code > 0x20 && code < LAST_ASCII
}

const IS_SPACE = new RegExp(`[${SPACE}]`)

/** Backwards by hand: a pattern that ends in `$` tries every run of blanks. */
export function trimEnd(text: string): string {
  let end = text.length
  while (end > 0 && !isPrinted(text.charCodeAt(end - 1)) && IS_SPACE.test(text[end - 1] as string)) end -= 1
  return text.slice(0, end)
}

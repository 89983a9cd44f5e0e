import { errorCode } from '../base/errors.ts'
import { expandWords } from './word.ts'

/** A word such as `<<EOF`, `3<<-"EOF"` (H1). */
export interface HeredocWord {
  readonly name: string
  readonly expand: boolean
  readonly chomp: boolean
  readonly fd: string
}

/** Where a line announces it. */
interface Announced {
  readonly text: string
  readonly offset: number
}

/** The heredocs that a line announces, in order. One that cannot be lexed as words has none, as in BuildKit. Throws EXPANSION_FAILED for a malformed delimiter. */
export function findHeredocs(line: string): (HeredocWord & Announced)[] {
  if (!line.includes('<<')) return []
  let offset = 0
  return wordsOf(line).flatMap((text) => {
    const heredoc = readHeredocWord(text)
    if (heredoc === undefined) return []
    // A word out of a substitution need not stand in the line as it came out.
    const at = [line.indexOf(text, offset), line.indexOf('<<', offset)].find((found) => found >= 0) ?? offset
    offset = at + 1
    return [{ ...heredoc, text: line.startsWith(text, at) ? text : '<<', offset: at }]
  })
}

/** The same of one word, for which a malformed delimiter is none. */
export function parseHeredocWord(word: string): HeredocWord | undefined {
  return lexed(() => readHeredocWord(word))
}

function readHeredocWord(word: string): HeredocWord | undefined {
  const [, fd = '', dash, delimiter = ''] = /^(\d*)<<(-?)([^<]*)$/.exec(word) ?? []
  const [name, ...more] = delimiter === '' ? [] : delimiterWords(delimiter)
  if (name === undefined || more.length > 0) return undefined
  const [quoted = ''] = delimiterWords(delimiter, true)
  return { name, expand: quotes(name) === quotes(quoted), chomp: dash === '-', fd }
}

/** H4: a quote that is gone from the name quoted a part of it. */
function quotes(text: string): number {
  return text.replace(/[^'"]/g, '').length
}

/** The body of `<<-`: without the tabs that begin its lines. */
export function chompTabs(content: string): string {
  return content.replace(/(^|\n)\t+/g, '$1')
}

const NOTHING = { get: () => undefined }

/** The line as words, as it is written: quotes, escapes and variables stay. The escape is always \. */
function wordsOf(line: string): string[] {
  return lexed(() => expandWords(line, NOTHING, { keepQuotes: true, keepEscapes: true, skipUnset: true })) ?? []
}

function delimiterWords(delimiter: string, keepQuotes = false): string[] {
  return expandWords(delimiter, NOTHING, { keepQuotes, skipUnset: true })
}

/** Undefined when the lexer refuses. */
function lexed<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (errorCode(error) !== 'EXPANSION_FAILED') throw error
    return undefined
  }
}

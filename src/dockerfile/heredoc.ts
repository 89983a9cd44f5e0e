import { trimEnd, trimStart } from '../../grammar/lexer.ts'

/** A word such as `<<EOF`, `3<<-"EOF"` (H1). */
export interface HeredocWord {
  readonly name: string
  readonly expand: boolean
  readonly chomp: boolean
  readonly fd: string
}

interface ShellWord {
  readonly text: string
  readonly offset: number
}

/** The heredocs that a line announces, in order, with their offsets. A line that a shell could not split has none, as in BuildKit. */
export function findHeredocs(line: string): (HeredocWord & ShellWord)[] {
  if (!line.includes('<<')) return []
  return joinOperators(line, shellWords(line) ?? []).flatMap((word) => {
    const heredoc = parseHeredocWord(word.text)
    return heredoc === undefined ? [] : [{ ...heredoc, ...word }]
  })
}

/** A `<<` that stands alone takes the next word as its delimiter; a `<<-` does not. */
function joinOperators(line: string, words: readonly ShellWord[]): ShellWord[] {
  const joined: ShellWord[] = []
  for (const word of words) {
    const before = joined.at(-1)
    if (before === undefined || !/^\d*<<$/.test(before.text)) joined.push(word)
    else joined[joined.length - 1] = { text: line.slice(before.offset, word.offset + word.text.length), offset: before.offset }
  }
  return joined
}

export function parseHeredocWord(word: string): HeredocWord | undefined {
  const match = /^(\d*)<<(-?)([^<]*)$/.exec(word)
  const delimiter = trimStart(match?.[3] ?? '')
  if (delimiter === '' || shellWords(delimiter)?.length !== 1) return undefined
  const name = unquote(trimEnd(delimiter))
  // A word of nothing but quotes is none to BuildKit.
  if (name === '') return undefined
  return { name, expand: !isQuoted(delimiter), chomp: match?.[2] === '-', fd: match?.[1] ?? '' }
}

/** The body of `<<-`: without the tabs that begin its lines. */
export function chompTabs(content: string): string {
  return content.replace(/(^|\n)\t+/g, '$1')
}

/** A quote that itself is not escaped (H4). */
function isQuoted(text: string): boolean {
  return /['"]/.test(text.replace(/\\[\s\S]/g, ''))
}

/** Quotes and escapes removed as a shell does. */
function unquote(text: string): string {
  return text.replace(/'([^']*)'|"((?:\\[\s\S]|[^"\\])*)"|\\([\s\S])/g, (_, single?: string, double?: string, escaped?: string) => {
    if (double !== undefined) return double.replace(/\\(["$\\])/g, '$1')
    return single ?? escaped ?? ''
  })
}

/** Words split at blanks outside quotes and `${…}`; undefined when a quote or a brace is not closed. The escape is always \. */
function shellWords(text: string): ShellWord[] | undefined {
  const words: ShellWord[] = []
  const part = /[\t-\r \u0085\u00a0]+|'[^']*'|"|\$\{|\\[\s\S]?|[^\t-\r \u0085\u00a0'"\\$]+|[\s\S]/gy
  let start = -1
  for (let match = part.exec(text); match !== null; match = part.exec(text)) {
    const [found] = match
    if (trimStart(found) === '') {
      if (start !== -1) words.push({ text: text.slice(start, match.index), offset: start })
      start = -1
      continue
    }
    if (start === -1) start = match.index
    if (found === "'") return undefined
    const end = found === '"' ? endOfQuotes(text, part.lastIndex) : found === '${' ? endOfBraces(text, part.lastIndex) : part.lastIndex
    if (end === undefined) return undefined
    part.lastIndex = end
  }
  if (start !== -1) words.push({ text: text.slice(start), offset: start })
  return words
}

function endOfQuotes(text: string, from: number): number | undefined {
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1
    else if (text[at] === '"') return at + 1
    else if (text.startsWith('${', at)) {
      const end = endOfBraces(text, at + 2)
      if (end === undefined) return undefined
      at = end - 1
    }
  }
  return undefined
}

/** Behind the } of a `${`; undefined for what BuildKit's lexer calls a bad substitution, too. */
function endOfBraces(text: string, from: number): number | undefined {
  const name = /(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-])(?=[}:+?#%/-])/y
  name.lastIndex = from
  const found = name.exec(text)
  if (found === null) return undefined
  let depth = 1
  for (let at = name.lastIndex; at < text.length; at += 1) {
    const char = text[at]
    if (char === '\\') at += 1
    else if (char === '}') depth -= 1
    else if (text.startsWith('${', at)) depth += 1
    else if (char === "'" || char === '"') {
      const end = text.indexOf(char, at + 1)
      if (end === -1) return undefined
      at = end
    }
    if (depth === 0) return at + 1
  }
  return undefined
}

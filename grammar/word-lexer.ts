import moo from 'moo'
import type { GrammarToken } from './parse.ts'

/** How a word is read: the Dockerfile's escape character, and whether quotes mean anything (not in heredoc bodies, H7). */
export interface WordMode {
  readonly escape: '\\' | '`'
  readonly quotes: boolean
}

/** A name after `$`: a run of digits, one special parameter of the shell, or letters, digits and underscores (X3). */
const NAME = String.raw`\p{Nd}+|[-@*#?$!]|[\p{L}_][\p{L}\p{Nd}_]*`

const rule = (source: string) => new RegExp(source, 'u')

/** What may stand in a word, up to a character of `stop`. */
function wordRules(mode: WordMode, stop: string): moo.Rules {
  const mark = mode.escape === '\\' ? '\\\\' : '`'
  return {
    escape: rule(`${mark}[^]?`),
    ...(mode.quotes ? { single: { match: rule("'"), push: 'single' }, double: { match: rule('"'), push: 'double' } } : {}),
    ...dollarRules,
    heredoc: rule('<<[ \\t\\r]*'),
    less: { match: rule('<'), type: () => 'text' },
    text: { match: rule(`[^<$${mode.quotes ? '\'"' : ''}${mark}${stop}]+`), lineBreaks: true },
  }
}

/** moo tries them in this order. `bad` takes all that follows: BuildKit reads no further. */
const dollarRules: moo.Rules = {
  bad: { match: rule(String.raw`\$\{(?=[{}:])[^]*`), lineBreaks: true },
  unfinished: rule(String.raw`\$\{(?![^])`),
  open: { match: rule(String.raw`\$\{`), push: 'name' },
  variable: rule(String.raw`\$(?:${NAME})`),
  dollar: rule(String.raw`\$`),
}

const modifierRules: moo.Rules = {
  close: { match: rule(String.raw`\}`), pop: 1 },
  badModifier: { match: rule(':[#%][^]*|[^-+?#%:/}][^]*'), lineBreaks: true },
  operator: { match: rule(':[^]?|[-+?#%]'), next: 'value', lineBreaks: true },
  slash: { match: rule('//?'), next: 'pattern' },
}

function states(mode: WordMode): Record<string, moo.Rules> {
  const mark = mode.escape === '\\' ? '\\\\' : '`'
  return {
    main: wordRules(mode, ''),
    name: { name: { match: rule(NAME), next: 'modifier' }, ...modifierRules },
    modifier: modifierRules,
    value: { close: { match: rule(String.raw`\}`), pop: 1 }, ...wordRules(mode, '}') },
    pattern: { separator: { match: rule('/'), next: 'value' }, ...wordRules(mode, '/') },
    single: { closeSingle: { match: rule("'"), pop: 1 }, text: { match: rule("[^']+"), lineBreaks: true } },
    double: {
      closeDouble: { match: rule('"'), pop: 1 },
      escape: rule(`${mark}["$${mark}]`),
      loneEscape: rule(mark),
      ...dollarRules,
      text: { match: rule(`[^"$${mark}]+`), lineBreaks: true },
    },
  }
}

const OPENING = new Set(['open', 'single', 'double'])
const CLOSING = new Set(['close', 'closeSingle', 'closeDouble'])

const lexers = new Map<string, moo.Lexer>()

function lexerOf(mode: WordMode): moo.Lexer {
  const key = `${mode.escape}${mode.quotes}`
  let lexer = lexers.get(key)
  if (lexer === undefined) {
    lexer = moo.states(states(mode), 'main')
    lexers.set(key, lexer)
  }
  return lexer
}

/**
 * The tokens of a word, and an `end` token for everything that is still open when the word ends: so the grammar has a parse for every string, and the
 * evaluator can fail where BuildKit does.
 */
export function lexWord(word: string, mode: WordMode): GrammarToken[] {
  const tokens: GrammarToken[] = []
  let depth = 0
  for (const token of lexerOf(mode).reset(word)) {
    const type = token.type as string
    if (OPENING.has(type)) depth++
    else if (CLOSING.has(type)) depth--
    tokens.push({ type, value: token.value, offset: token.offset })
  }
  for (; depth > 0; depth--) tokens.push({ type: 'end', value: '', offset: word.length })
  return tokens
}

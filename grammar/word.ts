import rules from './generated/word.js'
import { type Grammar, loadGrammar, parseTokens } from './parse.ts'
import type { WordPart } from './word-ast.ts'
import { lexWord, type WordMode } from './word-lexer.ts'

/** Words repeat: each line of a stage is expanded for its step, its display and its checks. Only so many are kept, and only short ones. */
const CACHED_WORDS = 2_000
const CACHED_LENGTH = 1_000
const cache = new Map<string, readonly WordPart[]>()
let grammar: Grammar | undefined

/** The parts of a word. Never throws: see word-ast.ts for what becomes of malformed ones. */
export function parseWord(word: string, mode: WordMode): readonly WordPart[] {
  if (word.length > CACHED_LENGTH) return parse(word, mode)
  const key = `${mode.escape}${mode.quotes ? 'q' : 'r'}${word}`
  let parts = cache.get(key)
  if (parts === undefined) {
    if (cache.size >= CACHED_WORDS) cache.clear()
    parts = parse(word, mode)
    cache.set(key, parts)
  }
  return parts
}

/** The grammar's root: parts linked from last to first, and how to put them in order. */
interface WordTree {
  readonly parts: unknown
  readonly list: (last: unknown) => WordPart[]
}

function parse(word: string, mode: WordMode): readonly WordPart[] {
  grammar ??= loadGrammar(rules)
  const { parts, list } = parseTokens<WordTree>(grammar, lexWord(word, mode), ({ at, token }) => {
    return new Error(`the word grammar has no rule for token ${at} (${token?.type ?? 'none'}) of ${JSON.stringify(word)}`)
  })
  return list(parts)
}

import nearley, { type CompiledRules, type Lexer, type LexerState, type Token } from 'nearley'

/** What `nearleyc` writes for a grammar: plain data, ready to be shared by any number of parses. */
export type Grammar = nearley.Grammar

/** Makes a compiled grammar usable. Do it once a process: it indexes the rules by name. */
export function loadGrammar(rules: CompiledRules): Grammar {
  return nearley.Grammar.fromCompiled(rules)
}

/** One token as a grammar sees it; `%word` in a .ne file matches `type: 'word'`. */
export interface GrammarToken {
  readonly type: string
  readonly value: string
  /** UTF-16 units from the start of the text. */
  readonly offset: number
}

/** Why there is no result: the index of the token that fits nowhere, or the number of tokens when the text ended too early. */
export interface Unexpected {
  readonly at: number
  readonly token: GrammarToken | undefined
}

/**
 * Parses one text, given as tokens, and returns the one tree it has. `refuse` makes the located error for a text outside the language.
 * Two trees are a fault of the grammar, not of the text. Postprocessors must be pure: nearley also runs those of parses that it gives up.
 */
export function parseTokens<Tree>(grammar: Grammar, tokens: readonly GrammarToken[], refuse: (reason: Unexpected) => Error): Tree {
  const feed = new TokenFeed(tokens)
  const parser = new nearley.Parser(grammar, { lexer: feed })
  try {
    parser.feed('')
  } catch {
    // nearley formats its whole table into the message; the place is all that is of use.
    const at = feed.position - 1
    throw refuse({ at, token: tokens[at] })
  }
  const results: Tree[] = parser.results
  if (results.length === 0) throw refuse({ at: tokens.length, token: undefined })
  if (results.length > 1)
    throw new Error(`ambiguous grammar: ${results.length} trees for ${JSON.stringify(tokens.map((token) => token.value))}`)
  return results[0] as Tree
}

/** Hands ready tokens to nearley: whole words, never characters, because its cost is per token. */
class TokenFeed implements Lexer {
  position = 0
  readonly #tokens: readonly GrammarToken[]

  constructor(tokens: readonly GrammarToken[]) {
    this.#tokens = tokens
  }

  next(): Token | undefined {
    const token = this.#tokens[this.position]
    this.position += 1
    return token
  }

  reset(): void {
    this.position = 0
  }

  save(): LexerState {
    return {}
  }

  has(): boolean {
    return true
  }

  formatError(): string {
    return 'unexpected token'
  }
}

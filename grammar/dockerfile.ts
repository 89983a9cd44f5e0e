import rules from './generated/dockerfile.js'
import { type EscapeChar, type Keyword, keywordOf, lexInstruction } from './lexer.ts'
import { type Grammar, type GrammarToken, loadGrammar, parseTokens, type Unexpected } from './parse.ts'

/** One instruction as the grammar sees it. Offsets count from the start of the logical line. */
export interface Statement {
  readonly name: Keyword | 'unknown'
  readonly keyword: GrammarToken
  readonly flags: readonly GrammarToken[]
  readonly args: Arguments
}

export type Arguments =
  | TextArguments
  | ArrayArguments
  | { readonly form: 'words'; readonly items: readonly GrammarToken[] }
  /** Tokens of type `assignment` hold a =, of type `bare` none (ARG only). */
  | { readonly form: 'pairs'; readonly items: readonly GrammarToken[] }
  | { readonly form: 'legacy'; readonly name: GrammarToken; readonly value: GrammarToken }
  | { readonly form: 'check'; readonly type: GrammarToken | null; readonly command: TextArguments | ArrayArguments }
  | { readonly form: 'trigger'; readonly statement: Statement | null }

interface TextArguments {
  readonly form: 'text'
  readonly text: GrammarToken | null
}
/** A JSON array of strings; the tokens hold the strings as written, quotes included. */
interface ArrayArguments {
  readonly form: 'array'
  readonly items: readonly GrammarToken[]
}

/** Makes the error for a line outside the language; `token` is where, undefined at the end. */
export type Refuse = (message: string, token: GrammarToken | undefined) => Error

let grammar: Grammar | undefined

/** Parses one logical line. Messages are BuildKit's, `quote` is Go's %q. */
export function parseStatement(line: string, escapeChar: EscapeChar, refuse: Refuse, quote: (text: string) => string): Statement {
  grammar ??= loadGrammar(rules)
  const tokens = lexInstruction(line, escapeChar)
  return flatten(parseTokens<StatementTree>(grammar, tokens, (reason) => explain(tokens, reason, refuse, quote)))
}

function explain(tokens: readonly GrammarToken[], { token }: Unexpected, refuse: Refuse, quote: (text: string) => string): Error {
  const keyword = tokens.findLast(({ type }) => type === 'pairsKeyword')
  if (keyword === undefined) return refuse('when using JSON array syntax, arrays must be comprised of strings only', token)
  if (token?.type === 'bare') {
    return refuse(`Syntax error - can't find = in ${quote(token.value)}. Must be of the form: name=value`, token)
  }
  return refuse(`${keyword.value.toUpperCase()} must have two arguments`, token)
}

/** What the postprocessors make: lists are chains from the last item to the first. */
type Chain = { readonly before: Chain; readonly item: GrammarToken } | null
interface StatementTree {
  readonly keyword: GrammarToken
  readonly flags: Chain
  readonly args: ArgumentsTree
}
type ArgumentsTree =
  | TextArguments
  | { readonly form: 'array' | 'words' | 'pairs'; readonly items: Chain }
  | { readonly form: 'legacy'; readonly name: GrammarToken; readonly value: GrammarToken }
  | { readonly form: 'check'; readonly type: GrammarToken | null; readonly command: TextArguments | { form: 'array'; items: Chain } }
  | { readonly form: 'trigger'; readonly statement: StatementTree | null }

function flatten(tree: StatementTree): Statement {
  return { name: keywordOf(tree.keyword.value), keyword: tree.keyword, flags: list(tree.flags), args: flattenArguments(tree.args) }
}

function flattenArguments(args: ArgumentsTree): Arguments {
  switch (args.form) {
    case 'text':
    case 'legacy':
      return args
    case 'check':
      return { ...args, command: args.command.form === 'text' ? args.command : { form: 'array', items: list(args.command.items) } }
    case 'trigger':
      return { form: 'trigger', statement: args.statement && flatten(args.statement) }
    default:
      return { form: args.form, items: list(args.items) }
  }
}

function list(chain: Chain): GrammarToken[] {
  const items: GrammarToken[] = []
  for (let link = chain; link !== null; link = link.before) items.push(link.item)
  return items.reverse()
}

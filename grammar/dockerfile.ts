import rules from './generated/dockerfile.js'
import { type EscapeChar, type Keyword, keywordOf, lexInstruction } from './lexer.ts'
import { type Grammar, type GrammarToken, loadGrammar, parseTokens } from './parse.ts'

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

/**
 * What a line is depends on the types of its tokens alone, and most lines of a Dockerfile are of a few shapes: each is parsed once, and its tree says of every
 * line of that shape which of its tokens stands where. Only so many are kept, and only short ones.
 */
const KEPT_SHAPES = 1_000
const KEPT_LENGTH = 64
const shapes = new Map<string, StatementTree>()

/** Parses one logical line. Messages are BuildKit's, `quote` is Go's %q. */
export function parseStatement(line: string, escapeChar: EscapeChar, refuse: Refuse, quote: (text: string) => string): Statement {
  const tokens = lexInstruction(line, escapeChar)
  return new Reading(tokens).statement(treeOf(tokens, (at) => explain(tokens, tokens[at], refuse, quote)))
}

/** `refuse` makes the error for the token, by its number, that fits nowhere. */
function treeOf(tokens: readonly GrammarToken[], refuse: (at: number) => Error): StatementTree {
  if (tokens.length > KEPT_LENGTH) return parseShape(tokens, refuse)
  const shape = tokens.map(({ type }) => type).join(' ')
  const known = shapes.get(shape)
  if (known !== undefined) return known
  const tree = parseShape(tokens, refuse)
  if (shapes.size >= KEPT_SHAPES) shapes.clear()
  shapes.set(shape, tree)
  return tree
}

function parseShape(tokens: readonly GrammarToken[], refuse: (at: number) => Error): StatementTree {
  grammar ??= loadGrammar(rules)
  const slots = tokens.map(({ type }, number): Slot => ({ type, value: '', offset: number }))
  return parseTokens<StatementTree>(grammar, slots, ({ at }) => refuse(at))
}

function explain(tokens: readonly GrammarToken[], token: GrammarToken | undefined, refuse: Refuse, quote: (text: string) => string): Error {
  const keyword = tokens.findLast(({ type }) => type === 'pairsKeyword')
  if (keyword === undefined) return refuse('when using JSON array syntax, arrays must be comprised of strings only', token)
  if (token?.type === 'bare') {
    return refuse(`Syntax error - can't find = in ${quote(token.value)}. Must be of the form: name=value`, token)
  }
  return refuse(`${keyword.value.toUpperCase()} must have two arguments`, token)
}

/** Stands for a token of any line of a shape: `offset` is its number among them. */
type Slot = GrammarToken

/** What the postprocessors make: lists are chains from the last item to the first. */
type Chain = { readonly before: Chain; readonly item: Slot } | null
interface StatementTree {
  readonly keyword: Slot
  readonly flags: Chain
  readonly args: ArgumentsTree
}
type CommandTree = { readonly form: 'text'; readonly text: Slot | null } | { readonly form: 'array'; readonly items: Chain }
type ArgumentsTree =
  | CommandTree
  | { readonly form: 'words' | 'pairs'; readonly items: Chain }
  | { readonly form: 'legacy'; readonly name: Slot; readonly value: Slot }
  | { readonly form: 'check'; readonly type: Slot | null; readonly command: CommandTree }
  | { readonly form: 'trigger'; readonly statement: StatementTree | null }

/** The tree of a shape, read with the tokens of one line. */
class Reading {
  readonly #tokens: readonly GrammarToken[]

  constructor(tokens: readonly GrammarToken[]) {
    this.#tokens = tokens
  }

  statement({ keyword: slot, flags, args }: StatementTree): Statement {
    const keyword = this.#token(slot)
    return { name: keywordOf(keyword.value), keyword, flags: this.#list(flags), args: this.#arguments(args) }
  }

  #arguments(args: ArgumentsTree): Arguments {
    switch (args.form) {
      case 'text':
      case 'array':
        return this.#command(args)
      case 'legacy':
        return { form: 'legacy', name: this.#token(args.name), value: this.#token(args.value) }
      case 'check':
        return { form: 'check', type: args.type && this.#token(args.type), command: this.#command(args.command) }
      case 'trigger':
        return { form: 'trigger', statement: args.statement && this.statement(args.statement) }
      default:
        return { form: args.form, items: this.#list(args.items) }
    }
  }

  #command(tree: CommandTree): TextArguments | ArrayArguments {
    if (tree.form === 'array') return { form: 'array', items: this.#list(tree.items) }
    return { form: 'text', text: tree.text && this.#token(tree.text) }
  }

  #token({ offset: number }: Slot): GrammarToken {
    return this.#tokens[number] as GrammarToken
  }

  #list(chain: Chain): GrammarToken[] {
    const items: GrammarToken[] = []
    for (let link = chain; link !== null; link = link.before) items.push(this.#token(link.item))
    return items.reverse()
  }
}

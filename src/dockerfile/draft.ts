import type { Arguments, Statement } from '../../grammar/dockerfile.ts'
import type { GrammarToken } from '../../grammar/parse.ts'
import { TbuildError } from '../base/errors.ts'
import type { Span } from '../base/span.ts'
import { decodeFlags, Flags, type FlagTypes } from './flags.ts'
import type { CommandLine, Heredoc, InstructionBase, Word } from './instruction.ts'
import type { LogicalLine } from './lines.ts'

/** An instruction whose syntax is right and whose meaning is not yet checked: what every function in instructions/ makes its instruction of. */
export class Draft {
  readonly statement: Statement
  readonly line: LogicalLine
  readonly heredocs: readonly Heredoc[]
  readonly base: InstructionBase
  /** Begins the messages: BuildKit's for a Dockerfile, nothing for a trigger (P12). */
  readonly #prefix: string

  constructor(statement: Statement, line: LogicalLine, heredocs: readonly Heredoc[], base: InstructionBase, prefix: string) {
    this.statement = statement
    this.line = line
    this.heredocs = heredocs
    this.base = base
    this.#prefix = prefix
  }

  /** The instruction's name for messages. */
  get name(): string {
    return this.statement.name.toUpperCase()
  }

  /** Without a span the error stands at the keyword. */
  fail(message: string, span?: Span, hint?: string): TbuildError {
    const place = span ?? this.span(this.statement.keyword)
    return new TbuildError('DOCKERFILE_SYNTAX', this.#prefix + message, {
      span: place,
      within: this.base.span,
      ...(hint === undefined ? {} : { hint }),
    })
  }

  span(token: GrammarToken): Span {
    return this.line.span(token.offset, token.offset + token.value.length)
  }

  word(token: GrammarToken): Word {
    return { text: token.value, span: this.span(token) }
  }

  flags(types: FlagTypes): Flags {
    const decoded = decodeFlags(this.statement, this.line.escapeChar, (from, to) => this.line.span(from, to))
    return new Flags(decoded, types, (message, span) => this.fail(message, span))
  }

  /** Words, or the strings of a JSON array. */
  words(): Word[] {
    const { args } = this.statement
    if (args.form === 'words') return args.items.map((token) => this.word(token))
    if (args.form === 'array') return args.items.map((token) => ({ text: decodeString(token.value), span: this.span(token) }))
    return []
  }

  /** The rest of the line as one word; there must be one (P18). */
  only(): Word {
    const { args } = this.statement
    if (args.form !== 'text' || args.text === null) throw this.fail(`${this.name} requires exactly one argument`)
    return this.word(args.text)
  }

  command(args: Arguments = this.statement.args): CommandLine {
    if (args.form === 'array') return { form: 'exec', args: args.items.map((token) => decodeString(token.value)) }
    return { form: 'shell', command: args.form === 'text' ? (args.text?.value ?? '') : '' }
  }

  needsArguments(): TbuildError {
    return this.fail(`${this.name} requires at least one argument`)
  }
}

/** A JSON string; half of a surrogate pair, which UTF-8 cannot hold, becomes U+FFFD as in Go. */
function decodeString(json: string): string {
  return (JSON.parse(json) as string).replace(/\p{Surrogate}/gu, '\ufffd')
}

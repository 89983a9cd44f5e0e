import { parseStatement, type Statement } from '../../grammar/dockerfile.ts'
import { KEYWORDS, trimEnd, trimStart } from '../../grammar/lexer.ts'
import { isTbuildError, TbuildError, withSpan } from '../base/errors.ts'
import type { SourceFile, Span } from '../base/span.ts'
import { withSuggestion } from '../base/suggest.ts'
import { goQuote } from '../go/quote.ts'
import { DirectiveReader, type EscapeChar } from './directives.ts'
import { Draft } from './draft.ts'
import { chompTabs, findHeredocs } from './heredoc.ts'
import type { Dockerfile, Heredoc, Instruction, InstructionBase } from './instruction.ts'
import { BUILDERS } from './instructions/table.ts'
import { LineReader, type LogicalLine, readLogicalLine } from './lines.ts'
import { keepNonUtf8 } from './non-utf8.ts'

const NAMES = KEYWORDS.map((name) => name.toUpperCase()).sort()

/** Parses a whole file. As in BuildKit an error of syntax anywhere comes before one of meaning. Throws DOCKERFILE_SYNTAX with a span. */
export function parseDockerfile(file: SourceFile): Dockerfile {
  if (file.text === '') throw new TbuildError('DOCKERFILE_SYNTAX', 'the Dockerfile cannot be empty', { span: new LineReader(file).span })
  const reader = new FileReader(file, (line) => `dockerfile parse error on line ${line}: `)
  const drafts = reader.drafts()
  if (drafts.length === 0) throw new TbuildError('DOCKERFILE_SYNTAX', 'file with no instructions', { span: reader.span })
  const instructions = [...buildAll(drafts)]
  const { name, exact } = file
  const kept = exact === undefined ? instructions : keepNonUtf8(instructions, parseDockerfile({ name, text: exact }).instructions)
  return { directives: reader.directives(), instructions: kept }
}

/** P21: only ARG may stand before the first FROM; found where it stands, before a later instruction that is wrong. */
function* buildAll(drafts: readonly Draft[]): Generator<Instruction> {
  let begun = false
  for (const draft of drafts) {
    const instruction = buildInstruction(draft)
    begun ||= instruction.kind === 'from'
    if (!begun && instruction.kind !== 'arg') {
      const hint = 'begin the Dockerfile with FROM'
      throw new TbuildError('DOCKERFILE_SYNTAX', 'no build stage in current context', { span: instruction.span, hint })
    }
    yield instruction
  }
}

/** A file that is wrong, as far as it can be read: checks tell what they find before the mistake. Empty when its syntax is wrong. */
export interface BrokenDockerfile {
  readonly directives: Dockerfile['directives']
  /** Of all instructions. */
  readonly bases: readonly InstructionBase[]
  /** Those before the wrong one. */
  readonly instructions: readonly Instruction[]
  /** The wrong one; none when the file ends too early. */
  readonly wrong?: WrongInstruction
}

interface WrongInstruction {
  readonly base: InstructionBase
  readonly words: readonly string[]
}

export function parseBroken(file: SourceFile): BrokenDockerfile {
  const reader = new FileReader(file, () => '')
  const instructions: Instruction[] = []
  let drafts: readonly Draft[] = []
  try {
    drafts = reader.drafts()
    for (const instruction of buildAll(drafts)) instructions.push(instruction)
  } catch (error) {
    if (!isTbuildError(error)) throw error
  }
  const wrong = drafts[instructions.length]
  return {
    directives: reader.directives(),
    bases: drafts.map(({ base }) => base),
    instructions,
    ...(wrong && { wrong: { base: wrong.base, words: wrong.words().map(({ text }) => text) } }),
  }
}

/** Parses an ONBUILD trigger, with `name` for messages: it must be one instruction (O6), and its escape is always \. */
export function parseTrigger(expression: string, name = 'ONBUILD trigger'): Instruction {
  const file = { name, text: expression }
  const reader = new FileReader(file, () => '')
  const [draft, ...more] = reader.drafts()
  if (draft === undefined || more.length > 0) {
    throw new TbuildError('DOCKERFILE_SYNTAX', 'onbuild trigger should be a single expression', {
      span: more[0]?.base.span ?? new LineReader(file).span,
    })
  }
  return buildInstruction(draft)
}

function buildInstruction(draft: Draft): Instruction {
  const { name, keyword } = draft.statement
  if (name === 'unknown') {
    throw draft.fail(withSuggestion(`unknown instruction: ${keyword.value}`, keyword.value, NAMES))
  }
  return BUILDERS[name](draft)
}

/** Text → drafts: directives, comments, logical lines, statements, heredocs. */
class FileReader {
  readonly #lines: LineReader
  readonly #directiveReader: DirectiveReader
  readonly #prefix: (line: number) => string
  #comments: string[] = []

  constructor(file: SourceFile, prefix: (line: number) => string) {
    this.#lines = new LineReader(file)
    this.#directiveReader = new DirectiveReader(file)
    this.#prefix = prefix
  }

  /** Of the line read last. */
  get span(): Span {
    return this.#lines.span
  }

  directives() {
    return this.#directiveReader.result()
  }

  drafts(): Draft[] {
    const drafts: Draft[] = []
    for (let line = this.#lines.next(); line !== undefined; line = this.#lines.next()) {
      const text = trimStart(line.text)
      if (this.#directiveReader.read(line.text, line.number)) this.#comments = []
      else if (text.startsWith('#')) this.#comment(line.text)
      else if (text !== '') drafts.push(this.#draft(readLogicalLine(line, this.#lines, this.#escape), line.number))
    }
    if (drafts.length > 0 && this.#lines.problem !== undefined) throw this.#lines.problem
    return drafts
  }

  get #escape(): EscapeChar {
    return this.#directiveReader.escape
  }

  /** An empty comment parts the lines above it from the instruction. As in BuildKit what the line begins with is taken away, so an indented comment keeps its #. */
  #comment(line: string): void {
    const comment = trimEnd(trimStart(line.slice(1)))
    if (comment === '') this.#comments = []
    else this.#comments.push(comment)
  }

  #draft(line: LogicalLine, start: number): Draft {
    const written = { ...line.span(0, trimEnd(line.text).length), start: line.start }
    // Comments and blank lines behind the last continuation are its own, too.
    const read = line.endLine > written.end.line ? { ...written, end: this.#lines.span.end } : written
    const statement = parseStatement(
      line.text,
      this.#escape,
      (message, token) => {
        const from = token?.offset ?? 0
        const span = line.span(from, from + (token?.value ?? line.text).length)
        return new TbuildError('DOCKERFILE_SYNTAX', message, { span, within: read })
      },
      goQuote,
    )
    const heredocs = takesHeredocs(statement) ? this.#heredocs(line, read) : []
    const base = {
      span: heredocs.length > 0 ? { ...read, end: this.#lines.span.end } : read,
      keyword: statement.keyword.value,
      source: trimEnd(line.text) + heredocs.map((heredoc) => `\n${heredoc.raw}${heredoc.name}`).join(''),
      comments: this.#comments,
      ...(line.hasEmptyContinuation ? { emptyContinuation: line.endLine } : {}),
    }
    this.#comments = []
    return new Draft(statement, line, heredocs, base, this.#prefix(start))
  }

  /** Bodies follow in the order in which the line announces them (H5); nothing in them has a meaning but the terminator (H2, H3). */
  #heredocs(line: LogicalLine, read: Span): Heredoc[] {
    return announced(line, read).map(({ text, offset, ...heredoc }) => {
      const span = line.span(offset, offset + text.length)
      const raw = this.#body(heredoc.name, heredoc.chomp, span, read)
      return { ...heredoc, raw, content: heredoc.chomp ? chompTabs(raw) : raw, span }
    })
  }

  #body(terminator: string, chomp: boolean, span: Span, read: Span): string {
    const body: string[] = []
    for (let line = this.#lines.next(); line !== undefined; line = this.#lines.next()) {
      if ((chomp ? line.text.replace(/^\t+/, '') : line.text) === terminator) return body.join('')
      body.push(line.raw)
    }
    throw new TbuildError('DOCKERFILE_SYNTAX', 'unterminated heredoc', {
      span,
      within: { ...read, end: this.#lines.span.end },
      hint: `end it with a line that is exactly ${terminator}, without blanks around it`,
    })
  }
}

function announced(line: LogicalLine, read: Span): ReturnType<typeof findHeredocs> {
  try {
    return findHeredocs(line.text)
  } catch (error) {
    throw withSpan(error, read)
  }
}

/** H1 */
function takesHeredocs(statement: Statement): boolean {
  const { name, args } = statement
  if (args.form === 'trigger' && args.statement !== null) return args.statement.args.form !== 'trigger' && takesHeredocs(args.statement)
  return args.form !== 'array' && (name === 'run' || name === 'copy' || name === 'add')
}

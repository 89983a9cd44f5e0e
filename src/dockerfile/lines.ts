import { trimStart } from '../../grammar/lexer.ts'
import { TbuildError } from '../base/errors.ts'
import type { Position, SourceFile, Span } from '../base/span.ts'
import type { EscapeChar } from './directives.ts'

/** Longest line of a Dockerfile in bytes, without its \n (P10). */
const MAX_LINE = 65_535

/** One line of the file without its line ending. */
export interface PhysicalLine {
  readonly text: string
  /** With its line ending: what a heredoc body keeps. */
  readonly raw: string
  /** 1-based. */
  readonly number: number
}

/** Lines joined by continuations, and where each of its characters stands in the file. */
export class LogicalLine {
  readonly escapeChar: EscapeChar
  readonly #file: SourceFile
  readonly #pieces: { readonly offset: number; readonly length: number; readonly start: Position }[] = []
  readonly #parts: string[] = []
  #length = 0
  #joined: string | undefined
  /** Last line read for it, comments and blank lines among the continuations included. */
  endLine = 0
  /** There are blank lines among the continuations (P7). */
  hasEmptyContinuation = false

  constructor(file: SourceFile, escapeChar: EscapeChar) {
    this.#file = file
    this.escapeChar = escapeChar
  }

  /** `column` is that of the first character. */
  append(text: string, line: number, column: number): void {
    this.#pieces.push({ offset: this.#length, length: text.length, start: { line, column } })
    this.#parts.push(text)
    this.#length += text.length
    this.endLine = line
  }

  get text(): string {
    this.#joined ??= this.#parts.join('')
    return this.#joined
  }

  /** The first of the file's lines that it is made of: the instruction's name may stand in a later one. */
  get start(): Position {
    return this.#pieces[0]?.start ?? { line: 1, column: 1 }
  }

  /** The span of text.slice(from, to). */
  span(from: number, to: number): Span {
    return { file: this.#file, start: this.#position(from), end: to > from ? this.#position(to - 1, 1) : this.#position(from) }
  }

  #position(offset: number, after = 0): Position {
    let low = 0
    let high = this.#pieces.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.#pieces[middle]?.offset ?? 0) <= offset) low = middle
      else high = middle - 1
    }
    const piece = this.#pieces[low]
    if (piece === undefined) return { line: 1, column: 1 }
    return { line: piece.start.line, column: piece.start.column + offset - piece.offset + after }
  }
}

/** Hands out a file line by line; the one place that knows line endings, the byte order mark and the size limit. */
export class LineReader {
  readonly file: SourceFile
  #offset = 0
  #count = 0
  #last: PhysicalLine = { text: '', raw: '', number: 1 }
  #tooLong: TbuildError | undefined

  constructor(file: SourceFile) {
    this.file = file
    // P5: only at the very beginning.
    if (file.text.startsWith('\ufeff')) this.#offset = 1
  }

  /** The whole line read last, the first before any was. */
  get span(): Span {
    const { number, text } = this.#last
    // Behind the line end of a blank line: a span that ended before its first character would not touch it.
    return { file: this.file, start: { line: number, column: 1 }, end: { line: number, column: Math.max(text.length + 1, 2) } }
  }

  /** What ended the file before its end (P10). As in BuildKit an error of the lines read so far is told first. */
  get problem(): TbuildError | undefined {
    return this.#tooLong
  }

  next(): PhysicalLine | undefined {
    const { text } = this.file
    const start = this.#offset
    if (start >= text.length || this.#tooLong !== undefined) return undefined
    const newline = text.indexOf('\n', start)
    const end = newline === -1 ? text.length : newline
    this.#offset = newline === -1 ? end : end + 1
    if (isTooLong(text.slice(start, end))) {
      this.#tooLong = tooLong(this.file, this.#count + 1)
      return undefined
    }
    this.#count += 1
    let trimmed = end
    while (trimmed > start && text[trimmed - 1] === '\r') trimmed -= 1
    this.#last = { text: text.slice(start, trimmed), raw: text.slice(start, this.#offset), number: this.#count }
    return this.#last
  }
}

function isTooLong(line: string): boolean {
  // A UTF-16 unit is at most three bytes of UTF-8.
  return line.length > MAX_LINE / 3 && Buffer.byteLength(line) > MAX_LINE
}

function tooLong(file: SourceFile, line: number): TbuildError {
  const place = { line, column: 1 }
  return new TbuildError('DOCKERFILE_SYNTAX', `dockerfile line greater than max allowed size of ${MAX_LINE}`, {
    span: { file, start: place, end: place },
    hint: 'end the line with the escape character and go on in the next',
  })
}

/**
 * Joins `first` with the lines that continue it: without a separator, leading blanks kept (P9), comments left out (P6), blank lines skipped and noted
 * (P7).
 */
export function readLogicalLine(first: PhysicalLine, lines: LineReader, escapeChar: EscapeChar): LogicalLine {
  const logical = new LogicalLine(lines.file, escapeChar)
  const content = trimStart(first.text)
  const start = withoutContinuation(content, escapeChar)
  logical.append(start ?? content, first.number, 1 + first.text.length - content.length)
  let open = start !== undefined
  while (open) {
    const line = lines.next()
    if (line === undefined) break
    logical.endLine = line.number
    const stripped = trimStart(line.text)
    if (stripped.startsWith('#')) continue
    if (stripped === '') {
      logical.hasEmptyContinuation = true
      continue
    }
    const text = withoutContinuation(line.text, escapeChar)
    open = text !== undefined
    logical.append(text ?? line.text, line.number, 1)
  }
  return logical
}

/** The line up to its continuation mark: the escape character, not itself escaped, and blanks (P8); undefined when there is none. */
function withoutContinuation(text: string, escapeChar: EscapeChar): string | undefined {
  let end = text.length
  while (end > 0 && (text[end - 1] === ' ' || text[end - 1] === '\t')) end -= 1
  if (text[end - 1] !== escapeChar || text[end - 2] === escapeChar) return undefined
  return text.slice(0, end - 1)
}

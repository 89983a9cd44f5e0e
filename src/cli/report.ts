import { BUG } from '../base/error-event.ts'
import { isTbuildError, type TbuildError } from '../base/errors.ts'
import { maskUrlsInPlace } from '../base/mask-url.ts'
import { formatPlace, type Span } from '../base/span.ts'
import type { Io } from './io.ts'
import { escapeControl, plainLine, textWidth } from './text.ts'

const CONTEXT_LINES = 2
const MAX_MARKED = 20

/** Prints the error and returns the exit status. */
export function reportError(error: unknown, io: Pick<Io, 'env'> & { readonly stderr: { write(text: string): unknown } }): number {
  const debug = io.env.TBUILD_DEBUG === '1'
  const text = isTbuildError(error) ? errorReport(error) : bugReport(error)
  io.stderr.write(debug ? `${text}\n${stackOf(error)}\n` : text)
  return isTbuildError(error) ? error.exitCode : 1
}

/** The whole report of an error that a user can cause. */
export function errorReport(error: TbuildError): string {
  const parts = [`ERROR: ${escapeControl(error.message)}\n`]
  if (error.span && error.span.file.text !== '') parts.push(`\n${excerpt(error.span, error.within)}`)
  if (error.output && error.output.length > 0) {
    parts.push(`\nlast output of the step:\n${error.output.map((line) => `  | ${plainLine(line)}\n`).join('')}`)
  }
  const notes = [...(error.hint ? [`hint: ${escapeControl(error.hint)}\n`] : []), `code: ${error.code}\n`]
  return `${parts.join('')}\n${notes.join('')}`
}

function bugReport(error: unknown): string {
  const message = (error as { message?: unknown } | null | undefined)?.message
  const text = typeof message === 'string' ? message : String(error)
  return `ERROR: internal error: ${escapeControl(text)}\n\nhint: this is a bug of tbuild; TBUILD_DEBUG=1 shows where it happened\ncode: ${BUG}\n`
}

function stackOf(error: unknown): string {
  const { stack, cause } = (error ?? {}) as { stack?: string; cause?: unknown }
  const own = stack ?? String(error)
  return cause === undefined ? own : `${own}\ncaused by: ${stackOf(cause)}`
}

/**
 * The place, the lines around it with their numbers, `>>>` on those of the instruction that fails, and carets below the span when it lies on one
 * line.
 *
 *     Dockerfile:2:5
 *        1 |     FROM busybox
 *        2 | >>> RUN false
 *          |     ^^^^^^^^^
 */
function excerpt(span: Span, within = span): string {
  const lines = maskUrlsInPlace(span.file.text)
    .split('\n')
    .map((line) => line.replace(/\r$/, ''))
  if (lines.at(-1) === '') lines.pop()
  const last = Math.max(lastLine(within), lastLine(span))
  const start = Math.min(within.start.line, span.start.line)
  const first = Math.max(1, start - CONTEXT_LINES)
  const end = Math.min(lines.length, last + CONTEXT_LINES)
  const width = Math.max(4, String(end).length + 1)
  const rows: string[] = []
  for (let number = first; number <= end; number += 1) {
    if (number === start + MAX_MARKED && number < last) {
      rows.push(`${'…'.padStart(width)} |`)
      number = last
    }
    const marked = number >= start && number <= last
    const line = escapeControl(lines[number - 1] ?? '')
    rows.push(`${String(number).padStart(width)} | ${marked ? '>>>' : '   '} ${line}`.trimEnd())
    if (number === span.start.line && number === lastLine(span))
      rows.push(`${' '.repeat(width)} |     ${carets(lines[number - 1] ?? '', span)}`)
  }
  return `${escapeControl(formatPlace(span))}\n${rows.join('\n')}\n`
}

/** A span that ends at the beginning of a line does not touch that line. */
function lastLine(span: Span): number {
  return span.end.column === 1 && span.end.line > span.start.line ? span.end.line - 1 : span.end.line
}

function carets(line: string, span: Span): string {
  const before = escapeControl(line.slice(0, span.start.column - 1))
  const end = span.end.line === span.start.line ? span.end.column : line.length + 1
  const marked = escapeControl(line.slice(span.start.column - 1, end - 1)).trimEnd()
  // Tabs stay tabs, so that the caret stands below its character however wide the terminal makes them.
  const indent = [...before].map((char) => (char === '\t' ? '\t' : ' '.repeat(textWidth(char)))).join('')
  return `${indent}${'^'.repeat(Math.max(1, textWidth(marked)))}`
}

import { maskUrlsInPlace } from '../base/mask-url.ts'
import type { SourceFile, Span } from '../base/span.ts'
import { linesOf } from '../dockerfile/lint/linter.ts'
import { escapeControl } from './text.ts'

/** BuildKit's pb.Location: a range for each line, without columns. */
export interface Location {
  readonly ranges?: readonly { readonly start: { readonly line: number }; readonly end: { readonly line: number } }[]
}

export function location(span: Span | undefined, others: readonly Span[] = []): Location {
  if (span === undefined) return {}
  const lines = [span, ...others].flatMap((one) => {
    const { first, last } = linesOf(one)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
  const ordered = [...new Set(lines)].sort((a, b) => a - b)
  return { ranges: ordered.map((line) => ({ start: { line }, end: { line } })) }
}

/**
 * The lines and those around them, as buildx prints them:
 *
 *     Dockerfile:2
 *     --------------------
 *        1 |     FROM busybox
 *        2 | >>> CMD a
 *     --------------------
 */
export function lineExcerpt(span: Span): string {
  const lines = maskUrlsInPlace(span.file.text).split('\n')
  const { first, last } = linesOf(span)
  const around = first === last ? 2 : 1
  const from = Math.max(1, first - around)
  const to = Math.min(lines.length, last + around)
  const rows = lines.slice(from - 1, to).map((line, index) => {
    const number = from + index
    const mark = number >= first && number <= last ? '>>>' : '   '
    return ` ${String(number).padStart(3)} | ${mark} ${escapeControl(line.replace(/\r$/, ''))}\n`
  })
  const rule = '--------------------\n'
  return `${escapeControl(span.file.name)}:${first}\n${rule}${rows.join('')}${rule}`
}

/** A file's text as Go marshals bytes, without the logins of URLs in it. */
export function base64({ text }: SourceFile): string {
  return Buffer.from(maskUrlsInPlace(text)).toString('base64')
}

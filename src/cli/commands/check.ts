import { basename } from 'node:path'
import type { TbuildError } from '../../base/errors.ts'
import type { SourceFile } from '../../base/span.ts'
import type { BuildHooks, BuildOptions } from '../../build-options.ts'
import type { Finding } from '../../dockerfile/lint/linter.ts'
import type { CheckResult } from '../../engine/questions.ts'
import { check } from '../../inquiry.ts'
import { base64, lineExcerpt, location } from '../location.ts'
import { escapeControl } from '../text.ts'
import type { Answer } from './answer.ts'

/** `--check`: status 1 when something was found. */
export async function answer(options: BuildOptions, hooks: BuildHooks): Promise<Answer> {
  const result = await check(options, hooks)
  const { findings, error } = result
  return { text: () => text(result), json: () => json(result), status: findings.length > 0 ? 1 : 0, ...(error ? { error } : {}) }
}

function text({ findings, error }: CheckResult): string {
  if (findings.length === 0) return error === undefined ? 'Check complete, no warnings found.\n' : ''
  const count = findings.length === 1 ? '1 warning has' : `${findings.length} warnings have`
  const sorted = [...findings].sort((a, b) => a.span.start.line - b.span.start.line)
  // buildx parts the findings from the error that follows.
  return `Check complete, ${count} been found!\n${sorted.map(paragraph).join('')}${error === undefined ? '' : '\n'}`
}

function paragraph({ rule, url, message, span }: Finding): string {
  const title = url === undefined ? rule : `${rule} - ${url}`
  return `\nWARNING: ${title}\n${escapeControl(message)}\n${lineExcerpt(span)}`
}

/** BuildKit's frontend.lint, but for `definition`, which says how its daemon loads the file. */
function json({ file, findings, error }: CheckResult): object {
  return {
    warnings: findings.length === 0 ? null : findings.map(warning),
    sources: [{ filename: basename(file.name), ...(file.text === '' ? {} : { data: base64(file) }), language: 'Dockerfile' }],
    ...(error === undefined ? {} : { buildError: { message: error.message, location: placeOf(error, file) } }),
  }
}

/** An ignore file is none of the answer's sources. */
function placeOf(error: TbuildError, file: SourceFile): object {
  const place = error.within ?? error.span
  return place?.file === file ? location(place, error.others) : {}
}

function warning({ rule, description, url, message, span }: Finding): object {
  return { ruleName: rule, description, ...(url === undefined ? {} : { url }), detail: message, location: location(span) }
}

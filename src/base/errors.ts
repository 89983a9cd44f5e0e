import { maskUrls } from './mask-url.ts'
import type { Span } from './span.ts'

/** What an error may carry besides its code and message. */
export interface ErrorDetails {
  /** Where in the Dockerfile (or ignore file) the cause stands. */
  readonly span?: Span
  /** The instruction that `span` is a part of: all its lines are shown as failing (E5). */
  readonly within?: Span
  /** Further instructions that have their part in it: the links of a circle. */
  readonly others?: readonly Span[]
  /** The next step for the user: one sentence, imperative. */
  readonly hint?: string
  /** Exit status of the whole build; a failing RUN hands its own on. 1 when absent, 2 for usage. */
  readonly exitCode?: number
  /** Last lines that the failing step printed, already decoded, for the report. */
  readonly output?: readonly string[]
  readonly cause?: unknown
}

/** Where a word stands, and the instruction that it is of. */
export type ErrorPlace = Readonly<Required<Pick<ErrorDetails, 'span' | 'within'>>>

/**
 * An error that a user can cause. `code` is stable (docs/errors.md lists them all) and is what callers test:
 * `instanceof` is false across realms. Anything else that is thrown is a bug of ours. No text of it has the login of a URL.
 */
export class TbuildError extends Error {
  readonly code: string
  readonly span: Span | undefined
  readonly within: Span | undefined
  readonly others: readonly Span[]
  readonly hint: string | undefined
  readonly exitCode: number
  readonly output: readonly string[] | undefined

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(maskUrls(message), details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'TbuildError'
    this.code = code
    this.span = details.span
    this.within = details.within
    this.others = details.others ?? []
    this.hint = details.hint === undefined ? undefined : maskUrls(details.hint)
    this.exitCode = details.exitCode ?? 1
    this.output = details.output
  }
}

/** The code of an error, ours or Node's (`ENOENT`), or undefined. */
export function errorCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

export function isTbuildError(error: unknown): error is TbuildError {
  return (error as { name?: unknown } | null | undefined)?.name === 'TbuildError'
}

/** What the operating system refused and no room has put into better words: no bug of ours. Other errors are unchanged. */
export function systemError(error: unknown): unknown {
  const { errno, syscall } = (error ?? {}) as { errno?: unknown; syscall?: unknown }
  if (isTbuildError(error) || typeof errno !== 'number' || typeof syscall !== 'string') return error
  return new TbuildError('SYSTEM', (error as Error).message, {
    hint: 'the operating system refused this; mend the cause and build again',
    cause: error,
  })
}

/** The same error at an instruction, when it has no place yet or one in it: attached once, by the boundary that knows the lines. */
export function withSpan(error: unknown, span: Span): unknown {
  if (!isTbuildError(error) || error.within !== undefined) return error
  if (error.span !== undefined && error.span.file !== span.file) return error
  return placed(error, { span: error.span ?? span, within: span })
}

/** The same error at a word, when it has no place yet: whose instruction it is of is told by who knows that. */
export function atWord(error: unknown, span: Span): unknown {
  return isTbuildError(error) && error.span === undefined ? placed(error, { span }) : error
}

/** The same error, saying of what it is. */
export function errorOf(what: string, error: TbuildError): TbuildError {
  const { span, within } = error
  return placed(error, { ...(span && { span }), ...(within && { within }) }, `${what}: ${error.message}`)
}

function placed(error: TbuildError, place: Pick<ErrorDetails, 'span' | 'within'>, message = error.message): TbuildError {
  return new TbuildError(error.code, message, {
    ...place,
    others: error.others,
    exitCode: error.exitCode,
    cause: error.cause,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.output === undefined ? {} : { output: error.output }),
  })
}

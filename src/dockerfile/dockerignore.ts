import { TbuildError } from '../base/errors.ts'
import type { SourceFile, Span } from '../base/span.ts'
import { decodeName } from '../base/utf8.ts'
import { cleanPath } from '../go/path.ts'
import { compilePattern, type MatchState, type Pattern, PatternMatcher } from '../go/pattern-matcher.ts'
import { trimSpace } from '../go/space.ts'

/** One pattern of an ignore file. */
export interface IgnoreRule {
  /** 1-based. */
  readonly line: number
  /** The line as written, without white space around it. */
  readonly text: string
  /** Cleaned, without leading slash; `!` in front when it takes back. */
  readonly pattern: string
  readonly span: Span
}

/** The longest line that BuildKit's reader takes. */
const LINE_LIMIT = 64 * 1024

/** The rules of a .dockerignore file (D2): `#` in the first column is a comment, blank lines are nothing. Throws IGNORE_INVALID. */
function parseIgnoreFile(name: string, content: Uint8Array | string): IgnoreRule[] {
  const file: SourceFile = { name, text: decodeName(content).replace(/^\ufeff/, '') }
  return file.text.split('\n').flatMap((raw, index) => {
    const line = raw.replace(/\r$/, '')
    const text = trimSpace(line)
    const span = spanOf(file, index + 1, line, text)
    if (line.length >= LINE_LIMIT)
      throw new TbuildError('IGNORE_INVALID', `line ${index + 1} of ${name} is longer than ${LINE_LIMIT} bytes`, { span })
    return line.startsWith('#') || text === '' ? [] : [{ line: index + 1, text, pattern: normalise(text), span }]
  })
}

function normalise(text: string): string {
  const exclusion = text.startsWith('!')
  const written = exclusion ? trimSpace(text.slice(1)) : text
  const cleaned = written === '' ? '' : cleanPath(written)
  return (exclusion ? '!' : '') + (cleaned.length > 1 && cleaned.startsWith('/') ? cleaned.slice(1) : cleaned)
}

function spanOf(file: SourceFile, line: number, raw: string, text: string): Span {
  const column = raw.indexOf(text) + 1
  return { file, start: { line, column }, end: { line, column: column + text.length } }
}

/**
 * The ignore file of one context. Paths are relative to the context's root, as a string or as bytes. A walk uses `step` from parent to child; a
 * directory that matches need be entered only if `mayReinclude` says so.
 */
export class IgnoreMatcher {
  readonly rules: readonly IgnoreRule[]
  readonly #matcher: PatternMatcher

  /** Throws IGNORE_INVALID at the line of a malformed pattern; of one that only moby's matcher cannot compile when a path is asked for. */
  constructor(rules: readonly IgnoreRule[]) {
    this.rules = rules
    this.#matcher = new PatternMatcher(rules.map(compileRule))
  }

  static parse(name: string, content: Uint8Array | string): IgnoreMatcher {
    return new IgnoreMatcher(parseIgnoreFile(name, content))
  }

  /** Equal ones leave the same paths out. */
  get identity(): string {
    return JSON.stringify(this.rules.map(({ pattern }) => pattern))
  }

  get isEmpty(): boolean {
    return this.#matcher.isEmpty
  }

  get hasExclusions(): boolean {
    return this.#matcher.hasExclusions
  }

  get coversRoot(): boolean {
    return this.rules.some(({ pattern }) => ['*', '**', '**/*'].includes(pattern))
  }

  step(path: string | Uint8Array, parent?: MatchState): MatchState {
    return this.#matcher.step(path, parent)
  }

  /** Whether the path is left out of the context. */
  matches(path: string | Uint8Array): boolean {
    return this.#matcher.matches(path)
  }

  mayReinclude(directory: string | Uint8Array): boolean {
    return this.#matcher.mayReinclude(directory)
  }

  /** The rule that decided for this path, to leave it out or to take it back; undefined when none matched. */
  explain(path: string | Uint8Array): IgnoreRule | undefined {
    return this.rules[this.#matcher.resolve(path).by]
  }
}

function compileRule({ pattern, span }: IgnoreRule): Pattern {
  const compiled = placed(span, () => compilePattern(pattern))
  return { ...compiled, test: (path) => placed(span, () => compiled.test(path)) }
}

function placed<T>(span: Span, action: () => T): T {
  try {
    return action()
  } catch (cause) {
    throw new TbuildError('IGNORE_INVALID', (cause as Error).message, { span, cause })
  }
}

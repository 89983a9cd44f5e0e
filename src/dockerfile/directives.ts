import { trimEnd, trimStart } from '../../grammar/lexer.ts'
import { TbuildError } from '../base/errors.ts'
import type { SourceFile, Span } from '../base/span.ts'
import type { Directives } from './instruction.ts'

export type EscapeChar = Directives['escape']
type Name = 'syntax' | 'escape' | 'check'

/** The directives at the top of a file, fed line by line; the first line that is none ends them for good (P1). */
export class DirectiveReader {
  readonly #file: SourceFile
  readonly #found: Partial<Record<Name, string>> = {}
  #open = true

  constructor(file: SourceFile) {
    this.#file = file
  }

  /** True when the line is a directive. */
  read(line: string, number: number): boolean {
    if (!this.#open) return false
    const directive = parseDirective(trimStart(line), '#')
    if (directive === undefined) {
      this.#open = false
      return false
    }
    const [name, value] = directive
    const span = lineSpan(this.#file, line, number)
    if (this.#found[name] !== undefined) {
      throw new TbuildError('DOCKERFILE_SYNTAX', `only one ${name} parser directive can be used`, { span })
    }
    this.#found[name] = value
    if (name === 'escape' && value !== '\\' && value !== '`') {
      throw new TbuildError('DOCKERFILE_SYNTAX', `invalid escape token '${value}' does not match \` or \\`, { span })
    }
    return true
  }

  get escape(): EscapeChar {
    return this.#found.escape === '`' ? '`' : '\\'
  }

  result(): Directives {
    const syntax = detectSyntax(this.#file.text)
    const check = detectDirective(this.#file.text, 'check')
    return { escape: this.escape, ...(syntax === undefined ? {} : { syntax }), ...(check === undefined ? {} : { check }) }
  }
}

/** The frontend image that a file asks for: `# syntax=`, `// syntax=` or a JSON object with that member, behind a `#!` line or not (P4). */
export function detectSyntax(text: string): string | undefined {
  const body = withoutShebang(text)
  const written = detectDirective(text, 'syntax')
  if (written !== undefined) return written.split(' ')[0]
  return body.trimStart().startsWith('{') ? syntaxMember(body) : undefined
}

/** `syntax` and `check` are looked for where the parser itself reads none: behind a `#!` line, and in `//` comments. */
function detectDirective(text: string, name: 'syntax' | 'check'): string | undefined {
  const body = withoutShebang(text)
  for (const mark of ['#', '//'] as const) {
    for (const line of leadingLines(body, mark)) {
      const directive = parseDirective(line, mark)
      if (directive === undefined) break
      if (directive[0] === name) return directive[1]
    }
  }
  return undefined
}

function withoutShebang(text: string): string {
  const body = text.startsWith('\ufeff') ? text.slice(1) : text
  if (!body.startsWith('#!')) return body
  return body.includes('\n') ? body.slice(body.indexOf('\n') + 1) : ''
}

function* leadingLines(text: string, mark: string): Generator<string> {
  let start = 0
  while (text.startsWith(mark, start)) {
    const end = text.indexOf('\n', start)
    yield text.slice(start, end === -1 ? undefined : end)
    if (end === -1) return
    start = end + 1
  }
}

function syntaxMember(text: string): string | undefined {
  try {
    const { syntax } = JSON.parse(text) as { syntax?: unknown }
    return typeof syntax === 'string' ? syntax : undefined
  } catch {
    return undefined
  }
}

/** `name=value` behind a comment's mark. */
export function parseDirective(line: string, mark: string): [Name, string] | undefined {
  if (!line.startsWith(mark)) return undefined
  const match = /^([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=(.+)$/.exec(trimEnd(trimStart(line.slice(mark.length))))
  const name = match?.[1]?.toLowerCase()
  const value = trimEnd(trimStart(match?.[2] ?? ''))
  if (value === '' || (name !== 'syntax' && name !== 'escape' && name !== 'check')) return undefined
  return [name, value]
}

function lineSpan(file: SourceFile, line: string, number: number): Span {
  return { file, start: { line: number, column: 1 }, end: { line: number, column: line.length + 1 } }
}

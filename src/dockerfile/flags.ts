import type { Statement } from '../../grammar/dockerfile.ts'
import { decodeFlag, type EscapeChar } from '../../grammar/lexer.ts'
import type { Span } from '../base/span.ts'
import { withSuggestion } from '../base/suggest.ts'
import type { Flag, Word } from './instruction.ts'

/** `bool`: bare, =true or =false; `list`: may be repeated. */
type FlagType = 'bool' | 'string' | 'list'
export type FlagTypes = Readonly<Record<string, FlagType>>

/** The checked flags of one instruction. */
export class Flags {
  readonly #values = new Map<string, Word[]>()

  /** `fail` makes the error at a place. Texts are BuildKit's (P14). */
  constructor(flags: readonly Flag[], types: FlagTypes, fail: (message: string, span: Span) => Error) {
    for (const { name, value, span } of flags) {
      const type = Object.hasOwn(types, name) ? types[name] : undefined
      if (type === undefined) throw fail(withSuggestion(`unknown flag: --${name}`, name, Object.keys(types), { caseSensitive: true }), span)
      const before = this.#values.get(name)
      if (before !== undefined && type !== 'list') throw fail(`duplicate flag specified: --${name}`, span)
      if (value === undefined ? type !== 'bool' : value === '' && type === 'bool') throw fail(`missing a value on flag: --${name}`, span)
      if (type === 'bool' && value !== undefined && !/^(true|false)$/i.test(value)) {
        throw fail(`expecting boolean value for flag --${name}, not: ${value}`, span)
      }
      const word = { text: value ?? 'true', span }
      if (before === undefined) this.#values.set(name, [word])
      else before.push(word)
    }
  }

  /** undefined when absent. A flag with an empty value counts as absent, as in BuildKit. */
  text(name: string): Word | undefined {
    const word = this.#values.get(name)?.[0]
    return word?.text === '' ? undefined : word
  }

  list(name: string): readonly Word[] {
    return this.#values.get(name) ?? []
  }

  /** undefined when absent. */
  bool(name: string): boolean | undefined {
    const value = this.#values.get(name)?.[0]?.text
    return value === undefined ? undefined : value.toLowerCase() === 'true'
  }
}

/** `--name=value` without quotes and escapes. */
export function decodeFlags(statement: Statement, escapeChar: EscapeChar, span: (from: number, to: number) => Span): Flag[] {
  return statement.flags.map((token) => {
    const [, name = '', value] = /^--([^=]*)(?:=([\s\S]*))?$/.exec(decodeFlag(token.value, escapeChar)) ?? []
    return { name, value, span: span(token.offset, token.offset + token.value.length) }
  })
}

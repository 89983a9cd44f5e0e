/** A word as written, quotes, escapes and `$` told apart. Every string is a word: what BuildKit refuses is in the tree, as unclosed or broken. */
export type WordPart =
  | { readonly kind: 'text'; readonly text: string }
  /** `<<` and the blanks behind it, which part no words: a delimiter follows. */
  | { readonly kind: 'heredoc'; readonly text: string }
  /** The escape character and what it escapes: one character, or '' at the end of the word. */
  | { readonly kind: 'escape'; readonly text: string }
  /** Inside double quotes: an escape character that escapes nothing. */
  | { readonly kind: 'loneEscape' }
  | { readonly kind: 'single'; readonly text: string; readonly closed: boolean }
  | { readonly kind: 'double'; readonly parts: readonly WordPart[]; readonly closed: boolean }
  /** `$name` */
  | { readonly kind: 'variable'; readonly name: string }
  | Substitution
  | Replacement
  /** BuildKit stops here with `message`; `end` is the offset that it has read up to. */
  | { readonly kind: 'broken'; readonly message: string; readonly end: number }

/** `${name}` and `${name<operator>word}`. */
export interface Substitution {
  readonly kind: 'substitution'
  readonly name: string
  /** '', or one of `- + ? # %`, or a colon and any one character. */
  readonly operator: string
  readonly word: readonly WordPart[]
  readonly closed: boolean
  /** Offset after the closing brace. */
  readonly end: number
}

/** `${name/pattern/replacement}`, `${name//pattern/replacement}`. */
export interface Replacement {
  readonly kind: 'replacement'
  readonly name: string
  readonly all: boolean
  readonly pattern: readonly WordPart[]
  /** undefined: the slash after the pattern is missing. */
  readonly replacement: readonly WordPart[] | undefined
  readonly closed: boolean
  readonly end: number
}

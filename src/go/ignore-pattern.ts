import { TbuildError } from '../base/errors.ts'
import { LinearPattern } from './linear-pattern.ts'
import { translateGoRegExp } from './regexp.ts'

/** How moby's patternmatcher tests a cleaned pattern: the plain forms, and a regular expression for the rest. */
type Form = 'exact' | 'prefix' | 'suffix' | 'regexp'

/**
 * The test for one cleaned pattern of an ignore file, on slash paths (D3). It is built in the steps of moby's patternmatcher, whose regular expression
 * is not what the pattern's author may think: `a**b` does not match `axb`, and a `*` in brackets ends the brackets. Throws PATTERN_INVALID.
 */
export function compileIgnorePattern(pattern: string): (path: string) => boolean {
  const { form, source } = toGoRegExp(pattern)
  switch (form) {
    case 'exact':
      return (path) => path === pattern
    case 'prefix': {
      const prefix = pattern.slice(0, -2)
      return (path) => path.startsWith(prefix)
    }
    case 'suffix': {
      const suffix = pattern.slice(2)
      // `**/foo` is also foo at the top.
      return (path) => path.endsWith(suffix) || (suffix.startsWith('/') && path === suffix.slice(1))
    }
    case 'regexp': {
      const pieces = translateGoRegExp(`^${source}$`)
      if (pieces === undefined) throw new TbuildError('PATTERN_INVALID', 'syntax error in pattern')
      return matcherOf(pieces)
    }
  }
}

/** V8 goes back into each `*`: with n of them it may take the n-th power of the path's length. It is the faster one for what people write. */
const V8_STARS = 2

function matcherOf(pieces: readonly string[]): (path: string) => boolean {
  const stars = pieces.filter((piece) => piece === '*').length
  const expression = stars > V8_STARS ? new LinearPattern(pieces) : new RegExp(pieces.join(''), 'u')
  return (path) => expression.test(path)
}

const ESCAPED = new Set('.+()|{}$')

function toGoRegExp(pattern: string): { form: Form; source: string } {
  const chars = [...pattern]
  let form: Form = 'exact'
  let source = ''
  for (let at = 0; at < chars.length; at++) {
    const char = chars[at] as string
    if (char === '*' && chars[at + 1] === '*') {
      const first = at === 0
      at += chars[at + 2] === '/' ? 2 : 1
      const last = at === chars.length - 1
      if (last && form === 'exact') form = 'prefix'
      else {
        source += last ? '.*' : '(.*/)?'
        form = 'regexp'
      }
      if (first) form = 'suffix'
    } else if (char === '*' || char === '?') {
      source += char === '*' ? '[^/]*' : '[^/]'
      form = 'regexp'
    } else if (ESCAPED.has(char)) source += `\\${char}`
    else if (char === '\\') {
      source += `\\${chars[++at] ?? ''}`
      form = 'regexp'
    } else {
      source += char
      if (char === '[' || char === ']') form = 'regexp'
    }
  }
  return { form, source }
}

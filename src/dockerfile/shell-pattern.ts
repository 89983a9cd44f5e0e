/** One element of a pattern: a character, `?` or `*`. */
type Element = { readonly char: string } | 'any' | 'star'

/**
 * The patterns of `${name#pattern}` and its kin: `*`, `?`, and `\` before one of `* ? \ } /` (X6). They match as the regular expression does that
 * BuildKit makes of them (`*` and `?` stop at a newline, the leftmost match wins, greedy or not), in at most pattern × text steps.
 */
export class ShellPattern {
  readonly #elements: readonly Element[]

  private constructor(elements: readonly Element[]) {
    this.#elements = elements
  }

  /** The pattern, or what is wrong with it. */
  static compile(pattern: string): ShellPattern | string {
    const chars = [...pattern.replace(/^\ufeff/, '')]
    const elements: Element[] = []
    for (let index = 0; index < chars.length; index++) {
      const char = chars[index] as string
      const next = chars[index + 1]
      if (char === '*') elements.push('star')
      else if (char === '?') elements.push('any')
      else if (char !== '\\') elements.push({ char })
      else if (next === '*' || next === '?' || next === '\\') {
        elements.push({ char: next })
        index++
      } else if (next !== '}' && next !== '/') return `invalid escape '\\${next ?? '\ufffd'}'`
    }
    return new ShellPattern(elements)
  }

  /** The pattern that matches reversed text; a pair of `\` and a character stays a pair. */
  static reverse(pattern: string): string {
    return (pattern.match(/\\[\s\S]|[\s\S]/gu) ?? []).reverse().join('')
  }

  trimPrefix(value: string, greedy: boolean): string {
    const chars = [...value]
    const end = this.#matchAt(chars, 0, greedy, new Set())
    return end === undefined ? value : chars.slice(end).join('')
  }

  replaceFirst(value: string, replacement: string): string {
    const chars = [...value]
    const match = this.#find(chars, 0)
    return match === undefined ? value : chars.slice(0, match.start).join('') + replacement + chars.slice(match.end).join('')
  }

  /** Every match that does not overlap; an empty match directly behind another does not count. `$0` in the replacement is the match, as in Go. */
  replaceAll(value: string, replacement: string): string {
    const chars = [...value]
    let result = ''
    let copied = 0
    for (let from = 0; from <= chars.length; ) {
      const match = this.#find(chars, from)
      if (match === undefined) break
      result += chars.slice(copied, match.start).join('')
      if (match.end > copied || match.start === 0) result += expandTemplate(replacement, chars.slice(match.start, match.end).join(''))
      copied = match.end
      from = Math.max(match.end, from + 1)
    }
    return result + chars.slice(copied).join('')
  }

  #find(chars: readonly string[], from: number): { start: number; end: number } | undefined {
    const failed = new Set<number>()
    for (let start = from; start <= chars.length; start++) {
      const end = this.#matchAt(chars, start, true, failed)
      if (end !== undefined) return { start, end }
    }
    return undefined
  }

  /**
   * The end of the preferred match at `start`: at each `*` in turn the longest (greedy) or shortest span that lets the rest match. `failed` holds the
   * pairs of element and position that were tried in vain, which is what keeps the search polynomial.
   */
  #matchAt(chars: readonly string[], start: number, greedy: boolean, failed: Set<number>): number | undefined {
    const width = chars.length + 1
    const pending: { element: number; position: number }[] = [{ element: 0, position: start }]
    while (pending.length > 0) {
      const { element, position } = pending.pop() as { element: number; position: number }
      if (element === this.#elements.length) return position
      const state = element * width + position
      if (failed.has(state)) continue
      failed.add(state)
      const expected = this.#elements[element] as Element
      const char = chars[position]
      const open = char !== undefined && char !== '\n'
      if (expected === 'star') {
        const leave = { element: element + 1, position }
        const stay = open ? [{ element, position: position + 1 }] : []
        pending.push(...(greedy ? [leave, ...stay] : [...stay, leave]))
      } else if (expected === 'any' ? open : expected.char === char) pending.push({ element: element + 1, position: position + 1 })
    }
    return undefined
  }
}

/** Go's Regexp.Expand for a pattern without groups: `$0` and `${0}` are the match, other names are empty, `$$` is `$`, a malformed `$` stays. */
function expandTemplate(template: string, match: string): string {
  if (!template.includes('$')) return template
  return template.replace(/\$(?:(\$)|\{([\p{L}\p{Nd}_]+)\}|([\p{L}\p{Nd}_]+))?/gu, (all, dollar, braced, bare) => {
    if (dollar !== undefined) return '$'
    const name = braced ?? bare
    if (name === undefined) return all
    return name === '0' ? match : ''
  })
}

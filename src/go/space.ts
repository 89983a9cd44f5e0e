/** Go's unicode.IsSpace: not JavaScript's `\s`, which lacks U+0085 and has U+FEFF. */
const SPACES = '\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'
const SPACE = new RegExp(`^[${SPACES}]`)
const EDGES = new RegExp(`^[${SPACES}]+|[${SPACES}]+$`, 'g')

/** Whether the text begins with white space. */
export function isSpace(char: string): boolean {
  return SPACE.test(char)
}

/** strings.TrimSpace */
export function trimSpace(text: string): string {
  return text.replace(EDGES, '')
}

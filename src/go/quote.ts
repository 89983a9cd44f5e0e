const NAMED: Record<string, string> = {
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
}

/** Go's unicode.IsPrint: letters, marks, numbers, punctuation, symbols and the ASCII space. */
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u
/** All that needs no look at each character. */
const PLAIN = /^[ !#-[\]-~]*$/

/** A Go string literal, as `%q` and strconv.Quote print it: history entries and error texts have this form. */
export function goQuote(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`
  let quoted = '"'
  for (const char of text) quoted += NAMED[char] ?? (PRINTABLE.test(char) ? char : escapeCodePoint(char.codePointAt(0) as number))
  return `${quoted}"`
}

function escapeCodePoint(point: number): string {
  const hex = (width: number) => point.toString(16).padStart(width, '0')
  if (point < 0x20 || point === 0x7f) return `\\x${hex(2)}`
  // A lone surrogate is not a character in Go; it can only be U+FFFD there.
  if (point >= 0xd800 && point <= 0xdfff) return '\ufffd'
  return point < 0x10000 ? `\\u${hex(4)}` : `\\U${hex(8)}`
}

/** A Go slice of strings as `%q` prints it: `["a" "b c"]`, the form of CMD in the history (I4). */
export function quoteList(texts: readonly string[]): string {
  return `[${texts.map(goQuote).join(' ')}]`
}

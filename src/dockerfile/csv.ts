/** The fields of one CSV record as Go's encoding/csv reads it; `fail` gets Go's text of the problem. Columns count bytes from 1. */
export function parseCsvFields(text: string, fail: (problem: string) => Error): string[] {
  if (text === '') throw fail('EOF')
  const fields: string[] = []
  const column = (index: number) => Buffer.byteLength(text.slice(0, index)) + 1
  for (let at = 0; at <= text.length; ) {
    if (text[at] !== '"') {
      const comma = text.indexOf(',', at)
      const end = comma === -1 ? text.length : comma
      const field = text.slice(at, end)
      const quote = field.indexOf('"')
      if (quote !== -1) throw fail(`parse error on line 1, column ${column(at + quote)}: bare " in non-quoted-field`)
      fields.push(field)
      at = end + 1
      continue
    }
    const end = closingQuote(text, at + 1, (index) =>
      fail(`parse error on line 1, column ${column(index)}: extraneous or missing " in quoted-field`),
    )
    fields.push(text.slice(at + 1, end).replaceAll('""', '"'))
    at = end + 2
  }
  return fields
}

/** The quote that ends a field: one that is not doubled and stands before a comma or the end. */
function closingQuote(text: string, start: number, fail: (index: number) => Error): number {
  for (let from = start; ; ) {
    const quote = text.indexOf('"', from)
    if (quote === -1) throw fail(from)
    const next = text[quote + 1]
    if (next === undefined || next === ',') return quote
    if (next !== '"') throw fail(quote)
    from = quote + 2
  }
}

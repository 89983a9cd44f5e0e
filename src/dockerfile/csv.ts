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
      if (quote !== -1) throw fail(`parse error on line 1, column ${column(at + quote)}: bare " in non-quoted field`)
      fields.push(field)
      at = end + 1
      continue
    }
    const match = /"((?:[^"]|"")*)"(?=,|$)/y
    match.lastIndex = at
    const found = match.exec(text)
    if (found === null) throw fail(`parse error on line 1, column ${column(at + 1)}: extraneous or missing " in quoted-field`)
    fields.push((found[1] ?? '').replaceAll('""', '"'))
    at = match.lastIndex + 1
  }
  return fields
}

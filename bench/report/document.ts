export const BEGIN = '<!-- bench: begin -->'
export const END = '<!-- bench: end -->'

/** A document with something else between its markers. Throws when it has not one pair of them. */
export function withTable(document: string, table: string): string {
  const [before, rest, ...more] = document.split(BEGIN)
  const [, after, ...others] = rest?.split(END) ?? []
  if (before === undefined || after === undefined || more.length > 0 || others.length > 0)
    throw new Error(`the document has not one ${BEGIN} and, behind it, one ${END}`)
  return `${before}${BEGIN}\n${table.trim()}\n${END}${after}`
}

import { usage } from '../usage.ts'

/**
 * The fields of one CSV record as Go's encoding/csv reads it: a field that starts with a quote ends with one, `""` inside is a quote, and a
 * quote in a bare field is an error. This is the form of `-o`, `--secret` and `--cache-to`.
 */
export function csvFields(text: string, option: string): string[] {
  const fields: string[] = []
  let at = 0
  for (;;) {
    if (text[at] === '"') {
      const field = quotedField(text, at, option)
      fields.push(field.value)
      at = field.end
    } else {
      const comma = text.indexOf(',', at)
      const value = text.slice(at, comma === -1 ? undefined : comma)
      if (value.includes('"')) throw usage(`invalid ${option} value ${JSON.stringify(text)}: bare " in a field`)
      fields.push(value)
      at += value.length
    }
    if (at >= text.length) return fields
    at += 1
  }
}

function quotedField(text: string, start: number, option: string): { value: string; end: number } {
  let value = ''
  for (let at = start + 1; at < text.length; at += 1) {
    if (text[at] !== '"') value += text[at]
    else if (text[at + 1] === '"') {
      value += '"'
      at += 1
    } else if (at + 1 === text.length || text[at + 1] === ',') return { value, end: at + 1 }
    else break
  }
  throw usage(`invalid ${option} value ${JSON.stringify(text)}: a quoted field does not end`)
}

/** `key=value` fields; keys are lower-cased; a bare field has the value undefined. A key given twice is an error. */
export function csvPairs(text: string, option: string): Map<string, string | undefined> {
  const pairs = new Map<string, string | undefined>()
  for (const field of csvFields(text, option)) {
    const equals = field.indexOf('=')
    const key = (equals === -1 ? field : field.slice(0, equals)).trim().toLowerCase()
    if (key === '') throw usage(`invalid ${option} value ${JSON.stringify(text)}: a field has no name`)
    if (pairs.has(key)) throw usage(`invalid ${option} value ${JSON.stringify(text)}: ${key} is given twice`)
    pairs.set(key, equals === -1 ? undefined : field.slice(equals + 1))
  }
  return pairs
}

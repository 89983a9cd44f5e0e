import { parseCsvFields } from '../../dockerfile/csv.ts'
import { usage } from '../usage.ts'

/** The CSV fields of `-o` and `--secret`. */
export function csvFields(text: string, option: string): string[] {
  return parseCsvFields(text, (problem) => usage(`invalid ${option} ${JSON.stringify(text)}: ${problem}`))
}

/** `key=value` fields; keys are lower-cased; a bare field has the value undefined. A key given twice is an error. */
export function csvPairs(text: string, option: string): Map<string, string | undefined> {
  const pairs = new Map<string, string | undefined>()
  for (const field of csvFields(text, option)) {
    const equals = field.indexOf('=')
    const key = (equals === -1 ? field : field.slice(0, equals)).trim().toLowerCase()
    if (key === '') throw usage(`invalid ${option} ${JSON.stringify(text)}: a field has no name`)
    if (pairs.has(key)) throw usage(`invalid ${option} ${JSON.stringify(text)}: ${key} is given twice`)
    pairs.set(key, equals === -1 ? undefined : field.slice(equals + 1))
  }
  return pairs
}

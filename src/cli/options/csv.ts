import { parseCsvFields } from '../../dockerfile/csv.ts'
import { usage } from '../usage.ts'

/** The CSV fields of a value. The end of its line may be there; of more lines docker would take the first alone: they are refused. */
export function csvFields(text: string, option: string): string[] {
  const invalid = (problem: string) => usage(`invalid ${option} ${JSON.stringify(text)}: ${problem}`)
  const line = text.replace(/\r?\n$/, '')
  if (line.includes('\n') && !line.includes('"')) throw invalid('it has more than one line')
  return parseCsvFields(line, invalid)
}

/** `key=value` fields of one value. Keys are lower-cased; of a key that is given twice the last value counts, and a field without `=` is refused (buildx). */
export function csvPairs(text: string, option: string): Map<string, string> {
  const pairs = new Map<string, string>()
  for (const field of csvFields(text, option)) {
    const equals = field.indexOf('=')
    if (equals === -1) throw usage(`invalid ${option} ${JSON.stringify(text)}: expected KEY=VALUE, not ${JSON.stringify(field)}`)
    pairs.set(field.slice(0, equals).toLowerCase(), field.slice(equals + 1))
  }
  return pairs
}

/** The same with blanks around the keys, as buildx takes them in `--output` and `--attest` alone. */
export function csvPairsTrimmed(text: string, option: string): Map<string, string> {
  const pairs = new Map<string, string>()
  for (const [key, value] of csvPairs(text, option)) pairs.set(key.trim(), value)
  return pairs
}

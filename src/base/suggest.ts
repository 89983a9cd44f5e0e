/** A name at least this many edits away is no suggestion. */
const TOO_FAR = 3

/**
 * The first of `options` nearest to `value`, under three edits away; undefined when none is, or when `value` itself is among them (then the error is
 * about something else). Without `caseSensitive` the answer is in the case of `value`.
 */
export function suggestion(value: string, options: Iterable<string>, { caseSensitive = false } = {}): string | undefined {
  const wanted = caseSensitive ? value : value.toLowerCase()
  let best: string | undefined
  let distance = TOO_FAR
  for (const written of options) {
    const option = caseSensitive ? written : written.toLowerCase()
    if (option === wanted) return undefined
    const edits = editDistance(wanted, option, distance)
    if (edits < distance) {
      distance = edits
      best = option
    }
  }
  if (best === undefined || caseSensitive) return best
  return value !== value.toLowerCase() && value === value.toUpperCase() ? best.toUpperCase() : best
}

/** `message (did you mean FROM?)`, or the message alone: BuildKit's form (E6). */
export function withSuggestion(message: string, value: string, options: Iterable<string>, mode: { caseSensitive?: boolean } = {}): string {
  const match = suggestion(value, options, mode)
  return match === undefined ? message : `${message} (did you mean ${match}?)`
}

/** Levenshtein distance; `limit` when it is at least that. */
export function editDistance(a: string, b: string, limit = Number.POSITIVE_INFINITY): number {
  const from = [...a]
  const to = [...b]
  if (Math.abs(from.length - to.length) >= limit) return limit
  let row = to.map((_, index) => index + 1)
  for (const [index, char] of from.entries()) {
    let diagonal = index
    let left = index + 1
    row = row.map((above, column) => {
      left = Math.min(above + 1, left + 1, diagonal + (char === to[column] ? 0 : 1))
      diagonal = above
      return left
    })
  }
  return Math.min(row.at(-1) ?? from.length, limit)
}

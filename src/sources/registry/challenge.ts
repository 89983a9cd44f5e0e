/** One challenge of WWW-Authenticate (RFC 9110 11.6.1); scheme and parameter names in lower case. */
export interface Challenge {
  readonly scheme: string
  readonly parameters: ReadonlyMap<string, string>
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
const PARAMETER = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))/y
const SEPARATOR = /[ \t,]*/y

/** All challenges of a header, in order; what does not parse ends the list. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = []
  let at = 0
  const take = (pattern: RegExp) => {
    pattern.lastIndex = at
    const match = pattern.exec(header)
    if (match) at = pattern.lastIndex
    return match
  }
  while (at < header.length) {
    take(SEPARATOR)
    const parameter = challenges.length > 0 ? take(PARAMETER) : null
    if (parameter) {
      const value = parameter[2]?.replace(/\\(.)/g, '$1') ?? parameter[3] ?? ''
      challenges.at(-1)?.parameters.set((parameter[1] as string).toLowerCase(), value)
      continue
    }
    const scheme = take(TOKEN)
    if (!scheme) break
    challenges.push({ scheme: scheme[0].toLowerCase(), parameters: new Map() })
  }
  return challenges
}

import { TbuildError } from '../../base/errors.ts'
import { parseGoBool } from '../../go/bool.ts'
import { goQuote } from '../../go/quote.ts'
import { parseDirective } from '../directives.ts'
import { EXPERIMENTAL, type RuleName } from './rules.ts'

/** What `# check=` sets: `skip=Rule,Rule` or `skip=all`, `error=true`, `experimental=Rule` or `experimental=all`, parted by semicolons. */
export interface CheckConfig {
  readonly skip: ReadonlySet<string> | 'all'
  readonly experimental: ReadonlySet<string> | 'all'
  /** A finding fails the build. */
  readonly error: boolean
}

const NONE: CheckConfig = { skip: new Set(), experimental: new Set(), error: false }

/** Throws CHECK_INVALID with BuildKit's text; `what` names the text there. */
export function parseCheckConfig(text = '', what = 'check options'): CheckConfig {
  const invalid = (problem: string) => checkInvalid(what, problem)
  const options: { -readonly [K in keyof CheckConfig]: CheckConfig[K] } = { ...NONE }
  for (const part of parts(text.trim())) {
    const at = part.indexOf('=')
    if (at < 0) throw invalid(`invalid check option ${goQuote(part)}`)
    const key = part.slice(0, at).trim()
    const value = part.slice(at + 1).trim()
    if (key === 'skip' || key === 'experimental') {
      // Once it is all it stays all; of two lists the last counts.
      if (options[key] !== 'all') options[key] = value === 'all' ? 'all' : new Set(value.split(',').map((name) => name.trim()))
      continue
    }
    if (key !== 'error') throw invalid(`invalid check option ${goQuote(key)}`)
    const error = parseGoBool(value)
    if (error === undefined)
      throw invalid(`failed to parse check option ${goQuote(part)}: strconv.ParseBool: parsing ${goQuote(value)}: invalid syntax`)
    options.error = error
  }
  return options
}

/** There are three options, so the third part keeps any further semicolon. */
function parts(text: string): string[] {
  if (text === '') return []
  const [first = '', second, ...rest] = text.split(';')
  return [first, ...(second === undefined ? [] : [second]), ...(rest.length === 0 ? [] : [rest.join(';')])]
}

function checkInvalid(what: string, problem: string): TbuildError {
  return new TbuildError('CHECK_INVALID', `failed to parse ${what}: ${problem}`, {
    hint: 'write # check=skip=Rule,Rule;error=true',
  })
}

/** Experimental rules are asked for by name or `all`, the others skipped so; neither list means anything to the other kind. */
export function isEnabled({ skip, experimental }: CheckConfig, rule: RuleName): boolean {
  return EXPERIMENTAL.has(rule) ? names(experimental, rule) : !names(skip, rule)
}

function names(list: ReadonlySet<string> | 'all', rule: RuleName): boolean {
  return list === 'all' || list.has(rule)
}

/** The file's configuration with that of the comments above one instruction: the first `check=` among them; one that is malformed says nothing. */
export function withComments(config: CheckConfig, comments: readonly string[]): CheckConfig {
  for (const comment of comments) {
    const directive = parseDirective(comment, '')
    if (directive?.[0] !== 'check') continue
    try {
      const own = parseCheckConfig(directiveValue(directive[1]))
      return { ...config, skip: merge(config.skip, own.skip), experimental: merge(config.experimental, own.experimental) }
    } catch {
      return config
    }
  }
  return config
}

function merge(a: ReadonlySet<string> | 'all', b: ReadonlySet<string> | 'all'): ReadonlySet<string> | 'all' {
  return a === 'all' || b === 'all' ? 'all' : new Set([...a, ...b])
}

/** A directive's value ends at its first space; what follows is a remark. */
export function directiveValue(text: string): string {
  return text.split(' ', 1)[0] as string
}

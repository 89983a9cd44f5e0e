import { TbuildError } from '../../base/errors.ts'
import { goQuote } from '../../base/go-quote.ts'
import { EXPERIMENTAL, type RuleName } from './rules.ts'

/** What `# check=` sets: `skip=Rule,Rule` or `skip=all`, `error=true`, `experimental=Rule` or `experimental=all`, parted by semicolons. */
export interface CheckConfig {
  readonly skip: ReadonlySet<string> | 'all'
  readonly experimental: ReadonlySet<string> | 'all'
  /** A finding fails the build. */
  readonly error: boolean
}

/** Throws CHECK_INVALID. */
export function parseCheckConfig(text = ''): CheckConfig {
  const options = {
    skip: new Set<string>() as CheckConfig['skip'],
    experimental: new Set<string>() as CheckConfig['experimental'],
    error: false,
  }
  for (const part of text.trim() === '' ? [] : text.split(';')) {
    const [, key = '', value = ''] = /^([^=]*)=([\s\S]*)$/.exec(part)?.map((piece) => piece.trim()) ?? ['', part]
    if (key === 'skip' || key === 'experimental')
      options[key] = value === 'all' ? 'all' : new Set(value.split(',').map((name) => name.trim()))
    else if (key === 'error' && /^(1|0|t|f|true|false|TRUE|FALSE|True|False|T|F)$/.test(value)) options.error = /^[1tT]/.test(value)
    else if (key === 'error')
      throw invalid(`failed to parse check option ${goQuote(part)}: strconv.ParseBool: parsing ${goQuote(value)}: invalid syntax`)
    else throw invalid(`invalid check option ${goQuote(key)}`)
  }
  return options
}

function invalid(problem: string): TbuildError {
  return new TbuildError('CHECK_INVALID', `failed to parse check options: ${problem}`, {
    hint: 'write # check=skip=Rule,Rule;error=true',
  })
}

export function isEnabled({ skip, experimental }: CheckConfig, rule: RuleName): boolean {
  if (skip === 'all' || skip.has(rule)) return false
  return !EXPERIMENTAL.has(rule) || experimental === 'all' || experimental.has(rule)
}

/** The rules that the comments above one instruction skip (`# check=skip=Rule`). */
export function skippedByComments(comments: readonly string[], rule: RuleName): boolean {
  return comments.some((comment) => {
    const value = /^check\s*=\s*(skip\s*=.*)$/i.exec(comment)?.[1]
    return value !== undefined && !isEnabled({ ...parseCheckConfig(value), experimental: 'all' }, rule)
  })
}

import { isTbuildError, TbuildError } from '../base/errors.ts'

/** A wrong command line: exit status 2. */
export function usage(message: string, hint?: string): TbuildError {
  return new TbuildError('USAGE', message, { exitCode: 2, ...(hint === undefined ? {} : { hint }) })
}

/** What a parser of values refuses is a wrong command line here; `before` goes before its message. */
export function checked<T>(parse: () => T, before = ''): T {
  try {
    return parse()
  } catch (error) {
    if (!isTbuildError(error)) throw error
    throw usage(`${before}${error.message}`, error.hint)
  }
}

/** An option that BuildKit has and this engine does not carry out: refused by name, never dropped. */
export function unsupported(what: string, hint?: string): TbuildError {
  return new TbuildError('UNSUPPORTED', `${what} is not supported`, { exitCode: 2, ...(hint === undefined ? {} : { hint }) })
}

import { TbuildError } from '../base/errors.ts'
import { goQuote } from '../base/go-quote.ts'
import type { Env } from './env.ts'
import type { LowerOptions } from './lower-types.ts'

const NAME = 'SOURCE_DATE_EPOCH'

/** What Date can show, in seconds. */
const LIMIT = 8_640_000_000_000

interface Epoch {
  /** Seconds; undefined when the build has none. */
  readonly seconds: number | undefined
  /** Where the value came from, with what it stands for in its place. */
  readonly globals: Env
  readonly buildArgs: LowerOptions['buildArgs']
}

/**
 * SOURCE_DATE_EPOCH of a build: `--build-arg`, or the default of an ARG before the first FROM (d2l/epoch.go). It holds whether or not a stage declares
 * it; declaring is what puts it into a RUN's environment (K19). `context` is the time of a remote context and nothing for a local one.
 */
export function sourceDateEpoch(globals: Env, options: LowerOptions): Epoch {
  const { buildArgs, contextTime } = options
  const given = buildArgs.get(NAME)
  const value = given ?? globals.get(NAME)
  if (value === undefined || value === '') return { seconds: undefined, globals, buildArgs }
  const seconds = value === 'context' ? contextTime : parseEpoch(value)
  const text = seconds === undefined ? '' : String(seconds)
  return given === undefined
    ? { seconds, globals: globals.with(NAME, text), buildArgs }
    : { seconds, globals, buildArgs: new Map([...buildArgs, [NAME, text]]) }
}

function parseEpoch(value: string): number {
  if (!/^[+-]?[0-9]+$/.test(value)) {
    throw new TbuildError('EPOCH_INVALID', `invalid ${NAME}: ${value}: strconv.ParseInt: parsing ${goQuote(value)}: invalid syntax`, {
      hint: 'it is seconds since 1970-01-01, or `context`; the name of a stage or of a named context is not supported',
    })
  }
  const seconds = Number(value)
  if (Math.abs(seconds) <= LIMIT) return seconds
  throw new TbuildError('EPOCH_INVALID', `invalid ${NAME}: ${value}: strconv.ParseInt: parsing ${goQuote(value)}: value out of range`)
}

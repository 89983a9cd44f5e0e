import { isTbuildError, TbuildError, withSpan } from '../base/errors.ts'
import type { StagedDockerfile } from '../dockerfile/instruction.ts'
import { assertContextName } from './base.ts'
import type { Env } from './env.ts'
import { sourceStageOp } from './epoch-stage.ts'
import type { LowerOptions } from './lower-types.ts'

const NAME = 'SOURCE_DATE_EPOCH'

/** What Date can show, in seconds. */
const LIMIT = 8_640_000_000_000

export interface Epoch {
  /** Seconds; undefined when the build has none. */
  readonly seconds: number | undefined
  /** Where the value came from, with what it stands for in its place. */
  readonly globals: Env
  readonly buildArgs: LowerOptions['buildArgs']
}

type EpochOptions = Pick<LowerOptions, 'buildArgs' | 'from' | 'times'>

/**
 * SOURCE_DATE_EPOCH of a build: `--build-arg`, or the default of an ARG before the first FROM (d2l/epoch.go). It holds whether or not a stage declares
 * it; declaring is what puts it into a RUN's environment (K19). `context` is the time of a remote context, the name of another context or of a stage
 * that of its one remote source; what has no such time is no epoch. Throws EPOCH_INVALID.
 */
export async function sourceDateEpoch(file: StagedDockerfile, globals: Env, options: EpochOptions): Promise<Epoch> {
  const { buildArgs } = options
  const given = buildArgs.get(NAME)
  const value = given ?? globals.get(NAME)
  if (value === undefined || value === '') return { seconds: undefined, globals, buildArgs }
  const seconds = isInt64(value) ? Number(value) : await namedTime(value, file, globals, options)
  // Times of sources can be anything, too.
  if (Math.abs(seconds ?? 0) > LIMIT) throw invalid(value)
  // Not even an ARG that declares it has a value then.
  if (seconds === undefined)
    return { seconds, globals: globals.without(NAME), buildArgs: new Map([...buildArgs].filter(([name]) => name !== NAME)) }
  const text = String(seconds)
  return given === undefined
    ? { seconds, globals: globals.with(NAME, text), buildArgs }
    : { seconds, globals, buildArgs: new Map([...buildArgs, [NAME, text]]) }
}

async function namedTime(value: string, file: StagedDockerfile, globals: Env, options: EpochOptions): Promise<number | undefined> {
  if (value === 'context') return options.times.contextTime()
  assertName(value)
  const context = options.from.namedContext(value)
  if (context !== undefined) return context.kind === 'files' ? options.times.timeOf(context) : undefined
  const stage = file.stages.find(({ name }) => name === value.toLowerCase())
  if (stage === undefined) throw invalid(value)
  try {
    return await options.times.timeOf(sourceStageOp(stage, globals.without(NAME), options.buildArgs, file.directives))
  } catch (error) {
    throw withSpan(error, stage.from.span)
  }
}

/** As Go's ParseInt: what does not fit is a name to BuildKit. */
function isInt64(value: string): boolean {
  return /^[+-]?[0-9]+$/.test(value) && BigInt.asIntN(64, BigInt(value)) === BigInt(value)
}

function assertName(value: string): void {
  try {
    assertContextName(value)
  } catch (error) {
    throw isTbuildError(error) ? refused(error.message) : error
  }
}

function invalid(value: string): TbuildError {
  return refused(`invalid ${NAME}: ${value}`)
}

function refused(message: string): TbuildError {
  return new TbuildError('EPOCH_INVALID', message, {
    hint: `${NAME} is seconds since 1970-01-01, \`context\`, or the name of a context or of a stage FROM scratch with one remote ADD`,
  })
}

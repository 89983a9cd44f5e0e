import { isTbuildError, withSpan } from '../base/errors.ts'
import type { StagedDockerfile } from '../dockerfile/instruction.ts'
import { expandWord } from '../dockerfile/word.ts'
import { type BuildArgValues, platformArgs } from './build-args.ts'
import type { Env } from './env.ts'
import type { LowerOptions } from './lower-types.ts'

type GlobalOptions = Pick<LowerOptions, 'platforms' | 'target' | 'buildArgs'>

/** The ARGs before the first FROM: visible in FROM lines, and through `ARG NAME` inside a stage (A1). */
export function globalArgs(file: StagedDockerfile, options: GlobalOptions, given: BuildArgValues = options.buildArgs): Env {
  // Measured: without --target it is the last stage's name, `default` when that has none.
  const targetStage = options.target || file.stages.at(-1)?.name || 'default'
  let env = platformArgs(options.platforms.target, options.platforms.build, targetStage, options.buildArgs)
  for (const instruction of file.globals) {
    for (const { name, value } of instruction.args) {
      try {
        const known = given.get(name) ?? (value === undefined ? undefined : expandWord(value, env, file.directives).result)
        if (known !== undefined) env = env.with(name, known)
      } catch (error) {
        throw withSpan(error, instruction.span)
      }
    }
  }
  return env
}

/** What they are without build arguments; undefined when a default cannot be expanded. */
export function globalDefaults(file: StagedDockerfile, options: GlobalOptions): Env | undefined {
  try {
    return globalArgs(file, options, new Map())
  } catch (error) {
    if (!isTbuildError(error)) throw error
    return undefined
  }
}

/** Their names, with a value or without. */
export function declaredGlobals(file: StagedDockerfile, globals: Env): string[] {
  return [...file.globals.flatMap(({ args }) => args.map(({ name }) => name)), ...globals.keys()]
}

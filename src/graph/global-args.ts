import { withSpan } from '../base/errors.ts'
import type { StagedDockerfile } from '../dockerfile/instruction.ts'
import { expandWord } from '../dockerfile/word.ts'
import { platformArgs } from './build-args.ts'
import type { Env } from './env.ts'
import type { LowerOptions } from './lower-types.ts'

/** The ARGs before the first FROM: visible in FROM lines, and through `ARG NAME` inside a stage (A1). */
export function globalArgs(file: StagedDockerfile, options: LowerOptions): Env {
  // Measured: without --target it is the last stage's name, `default` when that has none.
  const targetStage = options.target || file.stages.at(-1)?.name || 'default'
  let env = platformArgs(options.targetPlatform, options.buildPlatform, targetStage, options.buildArgs)
  for (const instruction of file.globals) {
    for (const { name, value } of instruction.args) {
      try {
        const given = options.buildArgs.get(name) ?? (value === undefined ? undefined : expandWord(value, env, file.directives).result)
        if (given !== undefined) env = env.with(name, given)
      } catch (error) {
        throw withSpan(error, instruction.span)
      }
    }
  }
  return env
}

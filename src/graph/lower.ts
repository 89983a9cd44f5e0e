import { TbuildError } from '../base/errors.ts'
import { withSuggestion } from '../base/suggest.ts'
import type { StagedDockerfile } from '../dockerfile/instruction.ts'
import { checkDefaultBases } from '../dockerfile/lint/from-checks.ts'
import { checkText } from '../dockerfile/lint/text-checks.ts'
import { sourceDateEpoch } from './epoch.ts'
import { globalArgs, globalDefaults } from './global-args.ts'
import { StageLowering } from './lower-stage.ts'
import type { BuildPlatforms, LowerOptions } from './lower-types.ts'
import type { Vertex } from './op.ts'
import type { StageState } from './stage-state.ts'

/** The whole build as a value: vertices in an order in which inputs come first, and what the target's image will be. */
export interface Graph {
  readonly vertices: readonly Vertex[]
  readonly target: StageState
  /** Of the target stage. */
  readonly stage: string
  /** SOURCE_DATE_EPOCH, seconds. */
  readonly epoch: number | undefined
}

/**
 * Lowers the target stage and, on demand, the stages that it needs: what nothing needs is neither built nor pulled (G9). ONBUILD triggers of
 * bases may ask for further stages, which the same demand finds (O5).
 */
export async function lower(file: StagedDockerfile, options: LowerOptions): Promise<Graph> {
  const { lowering, index, state } = await lowerTarget(file, options)
  return {
    vertices: lowering.builder.vertices,
    target: forPlatform(withLabels(state, options.labels), options.platforms),
    stage: lowering.stageName(index),
    epoch: lowering.epoch,
  }
}

/** The lowering of all that the target needs. */
export async function lowerTarget(
  file: StagedDockerfile,
  options: LowerOptions,
): Promise<{ readonly lowering: StageLowering; readonly index: number; readonly state: StageState }> {
  const lowering = await begin(file, options)
  const index = findTarget(file, options.target)
  lowering.assertNames()
  const [state] = await lowering.stages([index])
  return { lowering, index, state: state as StageState }
}

/** Lowers for its findings alone: the target, or every stage, in the order of the file. */
export async function checkStages(file: StagedDockerfile, options: LowerOptions): Promise<void> {
  if (options.target) {
    await lower(file, options)
    return
  }
  const lowering = await begin(file, options)
  lowering.assertNames()
  await lowering.stages(file.stages.map(({ index }) => index))
}

async function begin(file: StagedDockerfile, options: LowerOptions): Promise<StageLowering> {
  if (file.stages.length === 0) throw new TbuildError('DOCKERFILE_EMPTY', 'dockerfile contains no stages to build')
  checkText(file, options.checks.linter.text)
  const defaults = globalDefaults(file, options)
  if (defaults !== undefined) checkDefaultBases(file.stages, defaults, file.directives, options.checks.linter.text)
  return new StageLowering(file, options, await sourceDateEpoch(file, globalArgs(file, options), options))
}

/** By name, case-insensitively, the last of that name (G3, G10); the last stage without. */
function findTarget(file: StagedDockerfile, target: string | undefined): number {
  if (target === undefined || target === '') return file.stages.length - 1
  const found = file.stages.findLastIndex((stage) => stage.name === target.toLowerCase())
  if (found >= 0) return found
  const names = file.stages.flatMap((stage) => (stage.name === undefined ? [] : [stage.name]))
  throw new TbuildError('TARGET_NOT_FOUND', withSuggestion(`target stage "${target}" could not be found`, target, names), {
    hint: names.length === 0 ? 'name a stage with FROM … AS name' : `the stages are: ${names.join(', ')}`,
  })
}

/** I11 */
function forPlatform(state: StageState, { isTargetGiven, target }: BuildPlatforms): StageState {
  return isTargetGiven ? { ...state, imagePlatform: target } : state
}

/** `--label`: last, and without history (A16). */
function withLabels(state: StageState, labels: Readonly<Record<string, string>>): StageState {
  if (Object.keys(labels).length === 0) return state
  return { ...state, config: { ...state.config, Labels: { ...state.config.Labels, ...labels } } }
}

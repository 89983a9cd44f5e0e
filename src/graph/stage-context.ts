import type { Span } from '../base/span.ts'
import type { Directives, Instruction, Stage, StagedDockerfile } from '../dockerfile/instruction.ts'
import type { StageChecks } from '../dockerfile/lint/stage-checks.ts'
import type { GraphBuilder } from './builder.ts'
import type { Env } from './env.ts'
import type { Expander } from './expander.ts'
import { layerDescription } from './history.ts'
import type { BaseImage, FilesChoice, LowerOptions } from './lower-types.ts'
import type { Op, Vertex } from './op.ts'
import type { StageNames } from './stage-names.ts'
import type { StageState } from './stage-state.ts'
import { instructionText, type StepCounter } from './step-name.ts'
import { refuseWindowsLayers } from './windows.ts'

/** The lowering of a whole Dockerfile, as its parts see it. */
export interface Lowering {
  readonly file: StagedDockerfile
  readonly names: StageNames
  readonly options: LowerOptions
  readonly builder: GraphBuilder
  /** '' for the only stage without a name. */
  stageName(index: number): string
  /** A named context stands for the stage and its instructions (G13). */
  isReplaced(index: number): boolean
  stage(index: number): Promise<StageState>
  contextVertex(name: string): Vertex
  imageVertex(image: BaseImage, span: Span): Vertex
  filesAsRoot(files: FilesChoice, stage: Stage): Vertex
}

/** Where a `--from` is used, for its messages (G5). */
export type FromUse = { readonly at: Instruction } & ({ readonly kind: 'copy' } | { readonly kind: 'mount'; readonly target: string })

/** What `COPY --from` and `--mount=from=` name: a stage, a named context or an image. */
export interface Sources {
  /** The build context. */
  context(): Vertex
  /** Undefined is a stage without files. */
  from(name: string, stage: Stage, use: FromUse): Promise<Vertex | undefined>
}

/** The vertex of an instruction that changes the file system: it stands on the one that the stage has come to. */
export function addStep(op: Op, state: StageState, context: StageContext, inputs: readonly Vertex[] = []): Vertex {
  const { instruction, stageName, noCache, directives } = context
  if (state.base !== undefined) refuseWindowsLayers(state.base)
  const { name, place, step } = context.steps.next(instructionText(instruction), instruction.kind)
  const description = layerDescription(op, instruction, place, state.env, directives)
  return context.builder.add({ op, root: state.root, inputs, name, step, description, stage: stageName, span: instruction.span, noCache })
}

/** What the lowering of one instruction may use. */
export interface StageContext {
  readonly stage: Stage
  readonly stageName: string
  readonly options: Pick<LowerOptions, 'buildArgs' | 'run' | 'naming' | 'checks'>
  readonly builder: GraphBuilder
  readonly sources: Sources
  readonly steps: StepCounter
  readonly directives: Directives
  readonly noCache: boolean
  readonly checks: StageChecks
  /** The one that is lowered. */
  readonly instruction: Instruction
  /** SOURCE_DATE_EPOCH, seconds: the time of directories that WORKDIR and COPY make. */
  readonly epoch: number | undefined
  /** `raw` keeps quotes and always escapes with a backslash: heredoc bodies (H7). */
  expander(env: Env, raw?: boolean): Expander
}

import { isTbuildError, type TbuildError } from '../base/errors.ts'
import type { Progress } from '../base/events.ts'
import type { SourceFile, Span } from '../base/span.ts'
import type { ResolvedOptions } from '../build-options.ts'
import type { StagedDockerfile } from '../dockerfile/instruction.ts'
import type { Finding, Linter } from '../dockerfile/lint/linter.ts'
import { parseStages } from '../dockerfile/stages.ts'
import { checkStages } from '../graph/lower.ts'
import { description, type Outline, outline } from '../graph/outline.ts'
import { diagnosticsOf, type LoweringDeps, linterFor, lowerOptions, reportFindings, stagesOf } from '../solve/lowering.ts'
import { hostPlatform } from '../values/platform.ts'

/** Questions about a Dockerfile that build nothing: what buildx calls `--call`. Base images are looked up, because their config is needed. */

export interface CheckResult {
  readonly file: SourceFile
  /** In the order in which BuildKit reports them. */
  readonly findings: readonly Finding[]
  /** What a build would fail with before it runs anything; with `error=true` the findings themselves. */
  readonly error?: TbuildError
}

/** Of all stages, or of the target and what it needs. Like BuildKit it takes the host's platform. */
export async function checkFile(options: ResolvedOptions, deps: LoweringDeps, { signal }: Progress): Promise<CheckResult> {
  const file = deps.inputs.dockerfile
  let linter: Linter | undefined
  try {
    const stages = parseStages(file)
    linter = linterFor(stages, options)
    await checkStages(stages, lowerOptions(options, hostPlatform(), deps, linter))
  } catch (error) {
    if (!isTbuildError(error) || signal.aborted) throw error
    return { file, ...(linter === undefined ? diagnosticsOf(file, options, error) : { findings: linter.findings(), error }) }
  }
  const { violation } = linter
  return { file, findings: linter.findings(), ...(violation === undefined ? {} : { error: violation }) }
}

export interface OutlineResult extends Outline {
  readonly file: SourceFile
}

/** The arguments, secrets and ssh sockets that a build of the target takes. Findings are told as events. */
export async function outlineFile(options: ResolvedOptions, deps: LoweringDeps, { onEvent }: Progress): Promise<OutlineResult> {
  const file = deps.inputs.dockerfile
  const stages = stagesOf(file, { options, onEvent })
  const linter = linterFor(stages, options)
  try {
    const result = await outline(stages, lowerOptions(options, hostPlatform(), deps, linter))
    if (linter.violation) throw linter.violation
    return { ...result, file }
  } finally {
    reportFindings(linter.findings(), onEvent)
  }
}

export interface TargetsResult {
  readonly file: SourceFile
  readonly targets: readonly Target[]
}

export interface Target {
  readonly name: string | undefined
  readonly description: string | undefined
  /** The last stage. */
  readonly isDefault: boolean
  /** As written, like `platform`. */
  readonly base: string
  readonly platform: string | undefined
  /** Of the FROM. */
  readonly span: Span
}

/** The stages of the file. */
export function listStages(file: SourceFile): TargetsResult {
  return { file, targets: targetsOf(parseStages(file)) }
}

function targetsOf({ stages }: StagedDockerfile): Target[] {
  return stages.map(({ from, index }) => ({
    name: from.alias,
    description: description(from, from.alias),
    isDefault: index === stages.length - 1,
    base: from.image.text,
    platform: from.platform?.text,
    span: from.span,
  }))
}

import { isTbuildError, type TbuildError } from './base/errors.ts'
import type { OnEvent } from './base/events.ts'
import type { SourceFile, Span } from './base/span.ts'
import type { BuildHooks, BuildOptions, ResolvedOptions } from './build-options.ts'
import type { StagedDockerfile } from './dockerfile/instruction.ts'
import type { Finding, Linter } from './dockerfile/lint/linter.ts'
import { parseStages } from './dockerfile/stages.ts'
import { checkStages } from './graph/lower.ts'
import { description, type Outline, outline } from './graph/outline.ts'
import { linterFor, lowerOptions, mistakeOf, stagesOf, tell } from './solve/lowering.ts'
import type { Session } from './solve/session.ts'
import { withSession } from './solve/with-session.ts'
import { fromThisMachine } from './this-machine/request.ts'
import { hostPlatform } from './values/platform.ts'

/** Questions about a Dockerfile that build nothing: what buildx calls `--call`. Base images are looked up, because their config is needed. */

export interface CheckResult {
  readonly file: SourceFile
  /** In the order in which BuildKit reports them. */
  readonly findings: readonly Finding[]
  /** What a build would fail with before it runs anything; with `error=true` the findings themselves. */
  readonly error?: TbuildError
}

/** `--check`: of all stages, or of the target and what it needs. Like BuildKit it takes the host's platform. */
export function check(given: BuildOptions, hooks?: BuildHooks): Promise<CheckResult> {
  return ask(given, hooks, async (session, file, options) => {
    let linter: Linter | undefined
    try {
      const stages = parseStages(file)
      linter = linterFor(stages, options)
      await checkStages(stages, lowerOptions(options, hostPlatform(), session, linter))
    } catch (error) {
      if (!isTbuildError(error) || hooks?.signal?.aborted) throw error
      return { file, ...(linter === undefined ? mistakeOf(file, options, error) : { findings: linter.findings(), error }) }
    }
    const { violation } = linter
    return { file, findings: linter.findings(), ...(violation === undefined ? {} : { error: violation }) }
  })
}

export interface OutlineResult extends Outline {
  readonly file: SourceFile
}

/** `--call=outline`: the arguments, secrets and ssh sockets that a build of the target takes. Findings are told as events. */
export function outlineTarget(given: BuildOptions, hooks?: BuildHooks): Promise<OutlineResult> {
  const onEvent: OnEvent = (event) => hooks?.onEvent?.(event)
  return ask(given, hooks, async (session, file, options) => {
    const stages = stagesOf(file, { options, onEvent })
    const linter = linterFor(stages, options)
    try {
      const result = await outline(stages, lowerOptions(options, hostPlatform(), session, linter))
      if (linter.violation) throw linter.violation
      return { ...result, file }
    } finally {
      tell(linter.findings(), onEvent)
    }
  })
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

/** `--call=targets`: the stages of the file. */
export function listTargets(options: BuildOptions, hooks?: BuildHooks): Promise<TargetsResult> {
  return ask(options, hooks, async (_session, file) => ({ file, targets: targetsOf(parseStages(file)) }))
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

async function ask<T>(
  given: BuildOptions,
  hooks: BuildHooks = {},
  answer: (session: Session, file: SourceFile, options: ResolvedOptions) => Promise<T>,
): Promise<T> {
  const { options, caller } = fromThisMachine(given, hooks)
  return withSession(options, caller, (session) => answer(session, session.inputs.dockerfile, options))
}

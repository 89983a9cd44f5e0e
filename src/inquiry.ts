import { isTbuildError, type TbuildError } from './base/errors.ts'
import { hostPlatform } from './base/platform.ts'
import type { SourceFile, Span } from './base/span.ts'
import type { BuildHooks, BuildOptions } from './build-options.ts'
import type { StagedDockerfile } from './dockerfile/instruction.ts'
import type { Finding, Linter } from './dockerfile/lint/linter.ts'
import { checkBroken } from './dockerfile/lint/text-checks.ts'
import { parseBroken } from './dockerfile/parse.ts'
import { parseStages } from './dockerfile/stages.ts'
import { checkStages } from './graph/lower.ts'
import { description, type Outline, outline } from './graph/outline.ts'
import { linterFor, lowerOptions, warningEvent } from './solve/lowering.ts'
import type { Session } from './solve/session.ts'
import { withSession } from './solve/with-session.ts'

/** Questions about a Dockerfile that build nothing: what buildx calls `--call`. Base images are looked up, because their config is needed. */

export interface CheckResult {
  readonly file: SourceFile
  /** In the order in which BuildKit reports them. */
  readonly findings: readonly Finding[]
  /** What a build would fail with before it runs anything; with `error=true` the findings themselves. */
  readonly error?: TbuildError
}

/** `--check`: of all stages, or of the target and what it needs. Like BuildKit it takes the host's platform. */
export function check(options: BuildOptions, hooks?: BuildHooks): Promise<CheckResult> {
  return ask(options, hooks, async (session, file) => {
    let linter: Linter | undefined
    try {
      const stages = parseStages(file)
      linter = linterFor(stages, options)
      await checkStages(stages, lowerOptions(options, hostPlatform(), session, linter))
    } catch (error) {
      if (!isTbuildError(error) || hooks?.signal?.aborted) throw error
      return linter === undefined ? checkBrokenFile(file, options, error) : { file, findings: linter.findings(), error }
    }
    const { violation } = linter
    return { file, findings: linter.findings(), ...(violation === undefined ? {} : { error: violation }) }
  })
}

/** What is found before the instruction that is wrong; a malformed `# check=` comes before both. */
function checkBrokenFile(file: SourceFile, options: BuildOptions, error: TbuildError): CheckResult {
  const broken = parseBroken(file)
  if (broken === undefined) return { file, findings: [], error }
  try {
    const linter = linterFor(broken, options)
    checkBroken(broken, linter.text)
    return { file, findings: linter.findings(), error }
  } catch (invalid) {
    if (!isTbuildError(invalid)) throw invalid
    return { file, findings: [], error: invalid }
  }
}

export interface OutlineResult extends Outline {
  readonly file: SourceFile
}

/** `--call=outline`: the arguments, secrets and ssh sockets that a build of the target takes. Findings are told as events. */
export function outlineTarget(options: BuildOptions, hooks?: BuildHooks): Promise<OutlineResult> {
  return ask(options, hooks, async (session, file) => {
    const stages = parseStages(file)
    const linter = linterFor(stages, options)
    try {
      const result = await outline(stages, lowerOptions(options, hostPlatform(), session, linter))
      if (linter.violation) throw linter.violation
      return { ...result, file }
    } finally {
      for (const finding of linter.findings()) hooks?.onEvent?.(warningEvent(finding))
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

function ask<T>(options: BuildOptions, hooks: BuildHooks = {}, answer: (session: Session, file: SourceFile) => Promise<T>): Promise<T> {
  return withSession(options, hooks, (session) => answer(session, session.inputs.dockerfile))
}

import { isTbuildError, type TbuildError } from '../base/errors.ts'
import type { BuildEvent, OnEvent } from '../base/events.ts'
import type { SourceFile } from '../base/span.ts'
import type { ResolvedOptions } from '../build-options.ts'
import type { StagedDockerfile } from '../dockerfile/instruction.ts'
import { type Finding, Linter } from '../dockerfile/lint/linter.ts'
import { checkBroken } from '../dockerfile/lint/text-checks.ts'
import { parseBroken, parseTrigger } from '../dockerfile/parse.ts'
import { parseStages } from '../dockerfile/stages.ts'
import { contextReads } from '../graph/context-reads.ts'
import { type Graph, lower } from '../graph/lower.ts'
import type { LowerOptions } from '../graph/lower-types.ts'
import { formatPlatform, hostPlatform, type Platform } from '../values/platform.ts'
import { processSettings } from '../values/process-settings.ts'
import { requireEntitlements } from './entitlements.ts'
import type { Session } from './session.ts'

/** What lowering asks of a build's session. */
export type LoweringDeps = Pick<Session, 'images' | 'contexts' | 'inputs'>

/** What lowering needs, from the caller's options and the session. */
export function lowerOptions(
  options: ResolvedOptions,
  platform: Platform,
  { images, contexts, inputs }: LoweringDeps,
  linter = Linter.off,
): LowerOptions {
  const { platforms = [] } = options
  return {
    platforms: { target: platform, isTargetGiven: platforms.length > 0, build: hostPlatform() },
    target: options.target,
    labels: options.labels ?? {},
    buildArgs: new Map(Object.entries(options.buildArgs)),
    noCache: { all: options.noCache ?? false, stages: options.noCacheFilter ?? [] },
    run: { network: options.network ?? 'default', settings: processSettings(options) },
    naming: { idPrefix: platforms.length > 1 ? `${formatPlatform(platform)} ` : undefined, identity: inputs.identity },
    from: { resolveImage: images.resolve, namedContext: (name) => contexts.find(name), parseTrigger },
    times: { contextTime: async () => inputs.time?.(), timeOf: (source) => contexts.timeOf(source) },
    checks: { linter, ignored: inputs.ignore, ignoreProblem: inputs.ignoreProblem },
  }
}

interface FindingDeps {
  readonly options: ResolvedOptions
  readonly onEvent: OnEvent
}

/** Parses the file of a build; of one with a wrong instruction tells what is found before it. */
export function stagesOf(file: SourceFile, { options, onEvent }: FindingDeps): StagedDockerfile {
  try {
    return parseStages(file)
  } catch (error) {
    if (!isTbuildError(error)) throw error
    const diagnostics = diagnosticsOf(file, options, error)
    reportFindings(diagnostics.findings, onEvent)
    throw diagnostics.error
  }
}

/** What is told of a file that does not parse, for `error`: what BuildKit finds before it comes there. A malformed `# check=` comes before all. */
export function diagnosticsOf(
  file: SourceFile,
  options: Pick<ResolvedOptions, 'buildArgs'>,
  error: TbuildError,
): { findings: Finding[]; error: TbuildError } {
  if (file.text === '') return { findings: [], error }
  const broken = parseBroken(file)
  try {
    const linter = linterFor(broken, options)
    checkBroken(broken, linter.text)
    return { findings: linter.findings(), error }
  } catch (invalid) {
    if (!isTbuildError(invalid)) throw invalid
    return { findings: [], error: invalid }
  }
}

/** Lowers for one platform and tells what is probably wrong; of several platforms the first tells it. Throws CHECK_FAILED when the file wants that, and ENTITLEMENT. */
export async function lowerFor(
  platform: Platform,
  file: StagedDockerfile,
  session: LoweringDeps,
  { options, onEvent }: FindingDeps,
): Promise<Graph> {
  const linter = platform === (options.platforms?.[0] ?? platform) ? linterFor(file, options) : Linter.off
  try {
    const graph = await lower(file, lowerOptions(options, platform, session, linter))
    if (linter.violation !== undefined) throw linter.violation
    requireEntitlements(graph.vertices, options, onEvent)
    session.contexts.limit(contextReads(file, graph.vertices))
    return graph
  } finally {
    reportFindings(linter.findings(), onEvent)
  }
}

/** A build tells the same of one instruction once; checks list it as often as it is found. */
export function reportFindings(findings: readonly Finding[], onEvent: OnEvent): void {
  const once = new Map(findings.map((finding) => [`${finding.span.start.line} ${finding.rule} ${finding.message}`, finding]))
  for (const finding of once.values()) onEvent(warningEvent(finding))
}

/** As the file, or the build argument in its stead, sets the checks. */
export function linterFor(file: Pick<StagedDockerfile, 'directives'>, options: Pick<ResolvedOptions, 'buildArgs'>): Linter {
  return Linter.of(file.directives, options.buildArgs.BUILDKIT_DOCKERFILE_CHECK)
}

function warningEvent({ rule, message, description, url, span }: Finding): BuildEvent {
  return { type: 'warning', rule, message, detail: description, span, ...(url === undefined ? {} : { url }) }
}

/** tbuild as a library: the same engine as the command line, typed. It never prints; events tell what happens. */

export type { Digest } from './base/digest.ts'
export { errorCode, isTbuildError, TbuildError } from './base/errors.ts'
export type { BuildEvent, OnEvent } from './base/events.ts'
export type { Change, FileChange, MissCause, Verdict } from './base/explanation.ts'
export { formatPlatform, type Platform, parsePlatform } from './base/platform.ts'
export type { SourceFile, Span } from './base/span.ts'
export { build } from './build.ts'
export type { Annotation, BuildHooks, BuildOptions, BuildResult, OutputSpec } from './build-options.ts'
export type * from './dockerfile/instruction.ts'
export type { Finding } from './dockerfile/lint/linter.ts'
export { parseStages } from './dockerfile/stages.ts'
export {
  type CheckResult,
  check,
  listTargets,
  type OutlineResult,
  outlineTarget,
  type Target,
  type TargetsResult,
} from './inquiry.ts'
export { plan } from './plan.ts'

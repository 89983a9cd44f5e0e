/** tbuild as a library: the same engine as the command line, typed. It never prints; events tell what happens. */

export type { Digest } from './base/digest.ts'
export { type ErrorDetails, errorCode, isTbuildError, TbuildError } from './base/errors.ts'
export type { BuildEvent, OnEvent } from './base/events.ts'
export type { Change, FileChange, MissCause, Verdict } from './base/explanation.ts'
export type { Position, SourceFile, Span } from './base/span.ts'
export { build } from './build.ts'
export type * from './build-options.ts'
export type * from './dockerfile/instruction.ts'
export type { Finding } from './dockerfile/lint/linter.ts'
export { parseStages } from './dockerfile/stages.ts'
export type { Outline, OutlineArg, OutlineMount } from './graph/outline.ts'
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
export type { ExtraHost } from './values/extra-host.ts'
export { DEFAULT_LIMITS, type Limits } from './values/limits.ts'
export { formatPlatform, type Platform, parsePlatform } from './values/platform.ts'
export type { Ulimit } from './values/ulimit.ts'

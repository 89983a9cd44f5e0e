import type { BuildHooks, BuildOptions } from './build-options.ts'
import type { CheckResult, OutlineResult, TargetsResult } from './engine/questions.ts'
import { withBuild } from './engine/with-build.ts'

/** `--check`: of all stages, or of the target and what it needs. */
export function check(given: BuildOptions, hooks?: BuildHooks): Promise<CheckResult> {
  return withBuild(given, hooks, (open) => open.check())
}

/** `--call=outline`: the arguments, secrets and ssh sockets that a build of the target takes. Findings are told as events. */
export function outlineTarget(given: BuildOptions, hooks?: BuildHooks): Promise<OutlineResult> {
  return withBuild(given, hooks, (open) => open.outline())
}

/** `--call=targets`: the stages of the file. */
export function listTargets(given: BuildOptions, hooks?: BuildHooks): Promise<TargetsResult> {
  return withBuild(given, hooks, (open) => open.stages())
}

import type { BuildHooks, BuildOptions, BuildResult } from './build-options.ts'
import { checkedNames } from './engine/checked-names.ts'
import { withBuild } from './engine/with-build.ts'

/**
 * Builds an image: text → stages → graph of ops → snapshots → image → outputs. Rejects with a TbuildError for everything that a user can cause;
 * nothing half-made is left when it does.
 */
export async function build(given: BuildOptions, hooks?: BuildHooks): Promise<BuildResult> {
  return withBuild(given, hooks, (open) => open.export(given.outputs), checkedNames)
}

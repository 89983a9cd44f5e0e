import type { BuildHooks, BuildOptions } from './build-options.ts'
import { withBuild } from './engine/with-build.ts'

/**
 * A dry run of `build`: tells by `explain` events what would be taken from the cache, what would run and why. Nothing runs and nothing is made; what
 * the keys need is read as for a build (context files, manifests of bases, URLs, and the files of an image that a COPY takes from it).
 */
export function plan(given: BuildOptions, hooks?: BuildHooks): Promise<void> {
  return withBuild(given, hooks, (open) => open.plan())
}

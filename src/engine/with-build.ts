import { endingWithError } from '../base/error-event.ts'
import type { BuildHooks, BuildOptions, ResolvedOptions } from '../build-options.ts'
import { fromThisMachine } from '../this-machine/request.ts'
import { openEngine } from './engine.ts'
import type { OpenBuild } from './open-build.ts'

/**
 * A build that this machine asks one thing, in an engine of its own. What `check` throws is thrown before anything is opened. A failure, whatever it is, is the
 * last event.
 */
export function withBuild<T>(
  given: BuildOptions,
  hooks: BuildHooks | undefined,
  use: (build: OpenBuild) => Promise<T>,
  check: (options: ResolvedOptions) => unknown = () => {},
): Promise<T> {
  return endingWithError(hooks?.onEvent, async () => {
    const { options, caller } = fromThisMachine(given, hooks)
    check(options)
    const engine = await openEngine(given)
    try {
      return await use(await engine.openBuild(options, caller))
    } finally {
      await engine.close()
    }
  })
}

import type { BuildHooks, BuildOptions } from './build-options.ts'
import { openCache } from './cache/open.ts'
import { ExplainingWatcher } from './explain/watcher.ts'
import type { Graph } from './graph/lower.ts'
import { announce } from './solve/announce.ts'
import { lowerFor, stagesOf } from './solve/lowering.ts'
import { platformsOf } from './solve/platforms.ts'
import { withSession } from './solve/with-session.ts'
import { fromThisMachine } from './this-machine/request.ts'

/**
 * A dry run of `build`: tells by `explain` events what would be taken from the cache, what would run and why. Nothing runs and nothing is made; what
 * the keys need is read as for a build (context files, manifests of bases, URLs, and the files of an image that a COPY takes from it).
 */
export async function plan(given: BuildOptions, hooks: BuildHooks = {}): Promise<void> {
  const { options, caller } = fromThisMachine(given, hooks)
  return withSession(options, caller, async (session, { onEvent, signal }) => {
    const file = stagesOf(session.inputs.dockerfile, { options, onEvent })
    const graphs: Graph[] = []
    for (const platform of platformsOf(options)) graphs.push(await lowerFor(platform, file, session, { options, onEvent }))
    announce(
      graphs.flatMap(({ vertices }) => vertices),
      onEvent,
    )
    const watcher = new ExplainingWatcher({ cache: session.store.cache, files: (digest) => session.content.files(digest), onEvent })
    const cache = await openCache({ ...options, cacheTo: [] }, session, { onEvent, signal })
    const walk = session.walk({ watcher, imported: cache?.imports })
    for (const { target } of graphs) if (target.root !== undefined) await walk.plan(target.root)
    // What was learnt of the context's files.
    await session.flush()
  })
}

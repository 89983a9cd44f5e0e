import { errorCode, type TbuildError } from '../base/errors.ts'
import type { Vertex } from '../graph/op.ts'
import type { CacheIndex } from '../store/types.ts'
import type { Watcher } from './step-reports.ts'
import type { Walk } from './walk.ts'

/** Earlier records of a step that are looked at. */
const RECORDS = 8

export interface UnrunnableDeps {
  /** Of a dry run: `watcher` hears what would run. */
  readonly walk: (watcher: Watcher) => Walk
  readonly cache: Pick<CacheIndex, 'nearest'>
}

/**
 * Refuses a build that would run one of these steps, before anything of it runs; one whose result is cached is no obstacle. Where what is below a step
 * has to run first, nobody can say: it is refused now unless an earlier build did the same step, and by the walk when it turns out to run after all.
 */
export async function refuseUnrunnable(
  targets: readonly Vertex[],
  errors: ReadonlyMap<Vertex, TbuildError>,
  { walk, cache }: UnrunnableDeps,
): Promise<void> {
  const unknown = new Set<Vertex>()
  const planner = walk({
    hit: () => {},
    async miss(vertex) {
      const error = errors.get(vertex)
      if (error !== undefined) throw error
    },
    unknown: (vertex) => unknown.add(vertex),
  })
  try {
    for (const target of targets) await planner.plan(target)
  } catch (error) {
    // Anything else fails again in the build, which says at which step.
    if (errorCode(error) === 'EMULATION_MISSING') throw error
  }
  for (const [vertex, error] of errors) {
    if (unknown.has(vertex) && (vertex.noCache || !(await wasDone(vertex, cache)))) throw error
  }
}

async function wasDone(vertex: Vertex, cache: Pick<CacheIndex, 'nearest'>): Promise<boolean> {
  return (await cache.nearest(vertex.step, RECORDS)).some(({ name }) => name === vertex.name)
}

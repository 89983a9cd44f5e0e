import type { TbuildError } from '../base/errors.ts'
import type { Progress } from '../base/events.ts'
import type { BuildResult } from '../build-options.ts'
import type { BuildCache } from '../cache/build-cache.ts'
import type { BuiltSteps } from '../cache/exports.ts'
import type { BuiltPlatform, WantedByOutputs } from '../export/outputs.ts'
import type { Graph } from '../graph/lower.ts'
import type { Vertex } from '../graph/op.ts'
import { belowOf } from '../graph/vertex.ts'
import { assembleTarget } from '../image/target.ts'
import type { BlobForm } from '../layers/types.ts'
import { viewOf } from '../ops/ref.ts'
import type { Session } from '../solve/session.ts'
import type { Watcher } from '../solve/step-reports.ts'
import type { Walk } from '../solve/walk.ts'
import type { Snapshot } from '../store/types.ts'
import type { TreeView } from '../tree/types.ts'
import type { Platform } from '../values/platform.ts'

export interface PlatformGraph {
  readonly platform: Platform
  readonly graph: Graph
}

export interface EvaluationDeps {
  readonly session: Pick<Session, 'walk' | 'store' | 'layers'>
  /** Of --cache-from and --cache-to. */
  readonly cache: BuildCache | undefined
  /** What this machine cannot run. */
  readonly refused: ReadonlyMap<Vertex, TbuildError>
  readonly watcher: Watcher | undefined
  readonly progress: Progress
}

/** The targets of a build, all platforms by one walk: what they have in common is made once. After a failure another one begins. */
export class Evaluation {
  readonly #deps: EvaluationDeps
  readonly #walk: Walk

  constructor(deps: EvaluationDeps) {
    const { cache, refused, watcher } = deps
    this.#deps = deps
    this.#walk = deps.session.walk({ watcher, imported: cache?.imports, refused })
  }

  /** Does work on the targets, and once more without a cache that promised a layer and cannot give it; what does not stand on that is kept. */
  retry<T>(work: () => Promise<T>): Promise<T> {
    return this.#walk.retry(work)
  }

  /** The target's layers. `wanted`: as `Walk.solve` has it. */
  async solve({ graph }: PlatformGraph, wanted?: BlobForm): Promise<Snapshot> {
    const { root } = graph.target
    return root === undefined ? [] : this.#walk.solve(root, wanted)
  }

  /** Each as outputs take it, its image assembled with blobs of that form. When one fails the others have ended. */
  async build(targets: readonly PlatformGraph[], { form, readsFiles }: WantedByOutputs): Promise<BuiltPlatform[]> {
    const read = new Set(targets.flatMap(({ graph }) => graph.vertices.flatMap(belowOf<Vertex>)))
    const wanted = ({ graph: { target } }: PlatformGraph) =>
      readsFiles || target.root === undefined || read.has(target.root) ? undefined : form
    const solved = await Promise.allSettled(targets.map((target) => this.solve(target, wanted(target))))
    const built: BuiltPlatform[] = []
    for (const [index, result] of solved.entries()) {
      if (result.status === 'rejected') throw result.reason
      built.push(await this.#finish(targets[index] as PlatformGraph, result.value, form))
    }
    return built
  }

  async #finish({ platform, graph }: PlatformGraph, snapshot: Snapshot, form: BlobForm | undefined): Promise<BuiltPlatform> {
    const { session, cache, progress } = this.#deps
    const { epoch, target } = graph
    const inlined = cache?.inliner(this.#stepsOf([{ graph }]))
    const assemble: BuiltPlatform['assemble'] = async (how) => {
      const image = await assembleTarget(target, snapshot, {
        ...{ ...how, stepEpoch: epoch },
        ...{ blobs: session.store.blobs, layers: session.layers },
        warn: (message) => progress.onEvent({ type: 'notice', message }),
      })
      return inlined === undefined ? image : inlined(image)
    }
    const image = await assemble({ epoch, rewriteTimestamps: false, form })
    return { ...{ platform, epoch, assemble, image }, files: () => this.files(snapshot) }
  }

  files(layers: Snapshot): Promise<TreeView> {
    const { session, progress } = this.#deps
    return viewOf({ kind: 'snapshot', layers }, session, progress.signal)
  }

  /** Leaves the caches that were asked for, and keeps what came from others; false when the build has none. */
  async finishCaches(targets: readonly PlatformGraph[]): Promise<boolean> {
    const { cache } = this.#deps
    if (cache === undefined) return false
    await cache.finish(this.#stepsOf(targets), (work) => this.retry(work))
    await this.#walk.adopt()
    return true
  }

  #stepsOf(targets: readonly Pick<PlatformGraph, 'graph'>[]): BuiltSteps {
    const walk = this.#walk
    return { targets: rootsOf(targets), result: (vertex) => walk.result(vertex), changedContexts: () => walk.changedContexts() }
  }

  count(targets: readonly PlatformGraph[]): BuildResult['steps'] {
    const steps = targets.flatMap(({ graph }) => graph.vertices.filter(({ root, op }) => root !== undefined || op.kind === 'copy'))
    return { total: steps.length, cached: steps.length - this.#walk.executed }
  }
}

export function rootsOf(targets: readonly Pick<PlatformGraph, 'graph'>[]): Vertex[] {
  return targets.flatMap(({ graph }) => graph.target.root ?? [])
}

import type { TbuildError } from './base/errors.ts'
import type { OnEvent } from './base/events.ts'
import type { Platform } from './base/platform.ts'
import type { BuildHooks, BuildOptions, BuildResult, ResolvedOptions } from './build-options.ts'
import type { BuildCache } from './cache/build-cache.ts'
import type { BuiltSteps } from './cache/exports.ts'
import { openCache } from './cache/open.ts'
import type { StagedDockerfile } from './dockerfile/instruction.ts'
import { checkOutputs } from './export/check.ts'
import { buildMetadata, imageId } from './export/metadata.ts'
import { type BuiltPlatform, storeNames, type Written, wantedForm, writeOutputs } from './export/outputs.ts'
import { parseTags, tagImages } from './export/tag.ts'
import type { Graph } from './graph/lower.ts'
import type { Vertex } from './graph/op.ts'
import { assembleTarget } from './image/target.ts'
import { viewOf } from './ops/copy.ts'
import { announce } from './solve/announce.ts'
import { unrunnable } from './solve/emulation.ts'
import { lowerFor, stagesOf } from './solve/lowering.ts'
import { platformsOf, resolveOptions } from './solve/resolve-options.ts'
import type { Session } from './solve/session.ts'
import type { Solver, Watcher } from './solve/solver.ts'
import { type Hearing, withSession } from './solve/with-session.ts'
import type { Snapshot } from './store/types.ts'

/**
 * Builds an image: text → stages → graph of ops → snapshots → image → outputs. Rejects with a TbuildError for everything that a user can cause;
 * nothing half-made is left when it does.
 */
export async function build(given: BuildOptions, hooks: BuildHooks = {}): Promise<BuildResult> {
  const options = resolveOptions(given)
  const names = parseTags(options.tags ?? [])
  checkOutputs(options, platformsOf(options), names)
  return withSession(options, hooks, async (session, hearing) => {
    const graphs = await graphsOf(stagesOf(session.inputs.dockerfile, { options, ...hearing }), session, { options, ...hearing })
    const cache = await openCache(options, session, hearing)
    try {
      const refused = await refusedSteps(graphs, session, cache)
      for (const { graph } of graphs) announce(graph, hearing.onEvent)
      const around: Surroundings = { options, ...hearing, cache, refused, names, stdout: hooks.stdout }
      const { built, written } = await untilUsable(cache, () => buildAndWrite(graphs, session, around))
      if (cache !== undefined) {
        await cache.finish(stepsOf(built), adoptInto(built))
        // What was learnt of files for it, and the records that it gave.
        await session.flush()
      }
      // Also a build that ran no step may have fetched layers.
      if (session.store.grew()) await session.collect()
      return resultOf(built, names, written)
    } finally {
      await cache?.close()
    }
  })
}

async function buildAndWrite(
  graphs: readonly PlatformGraph[],
  session: Session,
  around: Surroundings,
): Promise<{ built: Built[]; written: Written | undefined }> {
  const { options, names, onEvent, signal } = around
  const built = await buildPlatforms(graphs, session, around)
  await session.flush()
  const images = built.map(({ image }) => image)
  await tagImages(images, storeNames(options.outputs ?? [], names), { ...session, onEvent, signal })
  return { built, written: await writeOutputs(built, around) }
}

function resultOf(built: readonly Built[], names: readonly string[], written: Written | undefined): BuildResult {
  const images = built.map(({ image }) => image)
  return {
    images: images.map(({ platform, configDigest }) => ({
      platform,
      configDigest,
      ...(written && { manifestDigest: written.manifestDigest }),
    })),
    tags: names,
    iid: imageId(images, written),
    metadata: buildMetadata(images, names, written),
    steps: stepCount(built),
  }
}

interface Built extends BuiltPlatform {
  readonly steps: number
  readonly executed: number
  readonly target: Vertex | undefined
  readonly solver: Solver
}

interface Surroundings extends Hearing {
  readonly options: ResolvedOptions
  /** Full references of `-t`. */
  readonly names: readonly string[]
  readonly stdout: BuildHooks['stdout']
  /** Of --cache-from and --cache-to. */
  readonly cache: BuildCache | undefined
  /** What this machine cannot run. */
  readonly refused: ReadonlyMap<Vertex, TbuildError>
}

/** Nothing runs before all platforms are known to be buildable. */
async function refusedSteps(
  graphs: readonly PlatformGraph[],
  session: Session,
  cache: BuildCache | undefined,
): Promise<ReadonlyMap<Vertex, TbuildError>> {
  const refused = unrunnable(graphs.flatMap(({ graph }) => graph.vertices))
  if (refused.size === 0) return refused
  const { refuseForeign } = await import('./solve/foreign.ts')
  const solver = (watcher: Watcher) => session.solver({ watcher, imported: cache?.imports, tells: false })
  const targets = graphs.flatMap(({ graph }) => graph.target.root ?? [])
  await refuseForeign(targets, refused, { solver, cache: session.store.cache })
  return refused
}

async function graphsOf(
  file: StagedDockerfile,
  session: Session,
  { options, onEvent }: Pick<Surroundings, 'options' | 'onEvent'>,
): Promise<PlatformGraph[]> {
  const graphs: PlatformGraph[] = []
  for (const platform of platformsOf(options))
    graphs.push({ platform, graph: await lowerFor(platform, file, session, { options, onEvent }) })
  return graphs
}

interface PlatformGraph {
  readonly platform: Platform
  readonly graph: Graph
}

/** A cache that promised a layer and cannot give it is left out, and the build begins again; what ran is in the store. */
async function untilUsable<T>(cache: BuildCache | undefined, attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (cache?.recover(error) !== true) throw error
    }
  }
}

/** The platforms share what they have in common. */
async function buildPlatforms(graphs: readonly PlatformGraph[], session: Session, around: Surroundings): Promise<Built[]> {
  const { options, onEvent, cache, refused } = around
  const watcher = options.explain ? await explainer(session, onEvent) : undefined
  const solver = session.solver({ watcher, imported: cache?.imports, refused })
  const roots = graphs.map(({ graph }) => graph.target.root)
  const solved = await Promise.allSettled(roots.map((root) => (root === undefined ? [] : solver.solve(root))))
  const built: Built[] = []
  for (const [index, result] of solved.entries()) {
    if (result.status === 'rejected') throw result.reason
    built.push(await finishPlatform(graphs[index] as PlatformGraph, result.value, session, { ...around, solver }))
  }
  return built
}

async function finishPlatform(
  { platform, graph }: PlatformGraph,
  snapshot: Snapshot,
  session: Session,
  { options, onEvent, signal, solver, cache }: Surroundings & { readonly solver: Solver },
): Promise<Built> {
  const { snapshots, baseLayers } = session
  const { epoch, target } = graph
  const assemble: BuiltPlatform['assemble'] = async (how) => {
    const warn = (message: string) => onEvent({ type: 'notice', message })
    const image = await assembleTarget(target, snapshot, {
      ...how,
      stepEpoch: epoch,
      blobs: session.store.blobs,
      snapshots,
      baseLayers,
      signal,
      warn,
    })
    return cache === undefined ? image : cache.inline(image, stepsOf([{ target: target.root, solver }]))
  }
  return {
    ...{ platform, epoch, assemble, solver, target: target.root },
    image: await assemble({ epoch, rewriteTimestamps: false, form: wantedForm(options.outputs ?? []) }),
    files: () => viewOf({ kind: 'snapshot', layers: snapshot }, { snapshots, baseLayers, signal }),
    steps: graph.vertices.filter(({ root, op }) => root !== undefined || op.kind === 'copy').length,
    executed: solver.executed,
  }
}

type Solved = Pick<Built, 'target' | 'solver'>

/** All platforms have one solver. */
function stepsOf(built: readonly Solved[]): BuiltSteps {
  const solver = built[0]?.solver
  return {
    targets: built.flatMap(({ target }) => target ?? []),
    result: async (vertex) => solver?.result(vertex),
    changedContexts: async () => (await solver?.changedContexts()) ?? new Set(),
  }
}

function adoptInto(built: readonly Solved[]): Solver['adopt'] {
  return async (vertex, layers, isHere) => built[0]?.solver.adopt(vertex, layers, isHere)
}

async function explainer({ store, content }: Session, onEvent: OnEvent): Promise<Watcher> {
  const { ExplainingWatcher } = await import('./explain/watcher.ts')
  return new ExplainingWatcher({ cache: store.cache, files: (digest) => content.files(digest), onEvent })
}

/** All platforms have one solver, and it counts what it ran. */
function stepCount(built: readonly Built[]): BuildResult['steps'] {
  const total = built.reduce((count, { steps }) => count + steps, 0)
  return { total, cached: total - (built[0]?.executed ?? 0) }
}

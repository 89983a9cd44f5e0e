import type { TbuildError } from './base/errors.ts'
import type { OnEvent, Progress } from './base/events.ts'
import type { BuildHooks, BuildOptions, BuildResult, ResolvedOptions } from './build-options.ts'
import type { BuildCache } from './cache/build-cache.ts'
import type { BuiltSteps } from './cache/exports.ts'
import { openCache } from './cache/open.ts'
import type { Caller } from './caller/caller.ts'
import type { StagedDockerfile } from './dockerfile/instruction.ts'
import { checkOutputs } from './export/check.ts'
import { buildMetadata, imageId } from './export/metadata.ts'
import { type BuiltPlatform, storeNames, type Written, wantedForm, writeOutputs } from './export/outputs.ts'
import { parseTags, tagImages } from './export/tag.ts'
import type { Graph } from './graph/lower.ts'
import type { Vertex } from './graph/op.ts'
import { assembleTarget } from './image/target.ts'
import { viewOf } from './ops/ref.ts'
import { announce } from './solve/announce.ts'
import { unrunnable } from './solve/emulation.ts'
import { lowerFor, stagesOf } from './solve/lowering.ts'
import { platformsOf } from './solve/platforms.ts'
import type { Session } from './solve/session.ts'
import type { Watcher } from './solve/step-reports.ts'
import type { Walk } from './solve/walk.ts'
import { withSession } from './solve/with-session.ts'
import type { Snapshot } from './store/types.ts'
import { fromThisMachine } from './this-machine/request.ts'
import type { Platform } from './values/platform.ts'

/**
 * Builds an image: text → stages → graph of ops → snapshots → image → outputs. Rejects with a TbuildError for everything that a user can cause;
 * nothing half-made is left when it does.
 */
export async function build(given: BuildOptions, hooks: BuildHooks = {}): Promise<BuildResult> {
  const { options, caller } = fromThisMachine(given, hooks)
  const names = parseTags(options.tags ?? [])
  checkOutputs(options, platformsOf(options), names)
  return withSession(options, caller, async (session, progress) => {
    const graphs = await graphsOf(stagesOf(session.inputs.dockerfile, { options, ...progress }), session, { options, ...progress })
    const cache = await openCache(options, session, progress)
    const refused = await refusedSteps(graphs, session, cache)
    announce(
      graphs.flatMap(({ graph }) => graph.vertices),
      progress.onEvent,
    )
    const around: Surroundings = { options, ...progress, cache, refused, names, stdout: hooks.stdout, environment: caller.environment }
    const { built, walk, written } = await untilUsable(cache, () => buildAndWrite(graphs, session, around))
    if (cache !== undefined) {
      await cache.finish(stepsOf(walk, targetsOf(graphs)), (...step) => walk.adopt(...step))
      // What was learnt of files for it, and the records that it gave.
      await session.flush()
    }
    // Also a build that ran no step may have fetched layers.
    if (session.store.grew()) await session.collect()
    return { ...resultOf(built, names, written), steps: stepCount(graphs, walk) }
  })
}

async function buildAndWrite(
  graphs: readonly PlatformGraph[],
  session: Session,
  around: Surroundings,
): Promise<BuiltPlatforms & { readonly written: Written | undefined }> {
  const { options, names, onEvent, signal } = around
  const { built, walk } = await buildPlatforms(graphs, session, around)
  await session.flush()
  const images = built.map(({ image }) => image)
  await tagImages(images, storeNames(options.outputs ?? [], names), { ...session, onEvent, signal })
  return { built, walk, written: await writeOutputs(built, { ...around, registries: session.registries }) }
}

function resultOf(built: readonly BuiltPlatform[], names: readonly string[], written: Written | undefined): Omit<BuildResult, 'steps'> {
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
  }
}

/** All platforms of a build, by one walk: what they have in common is made once. */
interface BuiltPlatforms {
  readonly built: readonly BuiltPlatform[]
  readonly walk: Walk
}

interface Surroundings extends Progress {
  readonly options: ResolvedOptions
  /** Full references of `-t`. */
  readonly names: readonly string[]
  readonly stdout: BuildHooks['stdout']
  readonly environment: Caller['environment']
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
  const walk = (watcher: Watcher) => session.walk({ watcher, imported: cache?.imports, silent: true })
  await refuseForeign(targetsOf(graphs), refused, { walk, cache: session.store.cache })
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

async function buildPlatforms(graphs: readonly PlatformGraph[], session: Session, around: Surroundings): Promise<BuiltPlatforms> {
  const { options, onEvent, cache, refused } = around
  const watcher = options.explain ? await explainer(session, onEvent) : undefined
  const walk = session.walk({ watcher, imported: cache?.imports, refused })
  const roots = graphs.map(({ graph }) => graph.target.root)
  const solved = await Promise.allSettled(roots.map((root) => (root === undefined ? [] : walk.solve(root))))
  const built: BuiltPlatform[] = []
  for (const [index, result] of solved.entries()) {
    if (result.status === 'rejected') throw result.reason
    built.push(await finishPlatform(graphs[index] as PlatformGraph, result.value, session, { ...around, walk }))
  }
  return { built, walk }
}

async function finishPlatform(
  { platform, graph }: PlatformGraph,
  snapshot: Snapshot,
  session: Session,
  { options, onEvent, signal, walk, cache }: Surroundings & { readonly walk: Walk },
): Promise<BuiltPlatform> {
  const { epoch, target } = graph
  const inlined = cache?.inliner(stepsOf(walk, targetsOf([{ graph }])))
  const assemble: BuiltPlatform['assemble'] = async (how) => {
    const warn = (message: string) => onEvent({ type: 'notice', message })
    const image = await assembleTarget(target, snapshot, {
      ...how,
      stepEpoch: epoch,
      blobs: session.store.blobs,
      layers: session.layers,
      warn,
    })
    return inlined === undefined ? image : inlined(image)
  }
  return {
    ...{ platform, epoch, assemble },
    image: await assemble({ epoch, rewriteTimestamps: false, form: wantedForm(options.outputs ?? []) }),
    files: () => viewOf({ kind: 'snapshot', layers: snapshot }, session, signal),
  }
}

function targetsOf(graphs: readonly Pick<PlatformGraph, 'graph'>[]): Vertex[] {
  return graphs.flatMap(({ graph }) => graph.target.root ?? [])
}

function stepsOf(walk: Walk, targets: readonly Vertex[]): BuiltSteps {
  return { targets, result: (vertex) => walk.result(vertex), changedContexts: () => walk.changedContexts() }
}

async function explainer({ store, content }: Session, onEvent: OnEvent): Promise<Watcher> {
  const { ExplainingWatcher } = await import('./explain/watcher.ts')
  return new ExplainingWatcher({ cache: store.cache, files: (digest) => content.files(digest), onEvent })
}

function stepCount(graphs: readonly PlatformGraph[], { executed }: Walk): BuildResult['steps'] {
  const steps = graphs.flatMap(({ graph }) => graph.vertices.filter(({ root, op }) => root !== undefined || op.kind === 'copy'))
  return { total: steps.length, cached: steps.length - executed }
}

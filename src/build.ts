import { isTbuildError, systemError, TbuildError } from './base/errors.ts'
import type { OnEvent } from './base/events.ts'
import { hostPlatform, type Platform } from './base/platform.ts'
import type { BuildHooks, BuildOptions, BuildResult } from './build-options.ts'
import type { StagedDockerfile } from './dockerfile/instruction.ts'
import { parseStages } from './dockerfile/stages.ts'
import { checkOutputs } from './export/check.ts'
import { buildMetadata, imageId } from './export/metadata.ts'
import { type BuiltPlatform, storeNames, wantedForm, writeOutputs } from './export/outputs.ts'
import { parseTags, tagImages } from './export/tag.ts'
import type { Graph } from './graph/lower.ts'
import { assembleTarget } from './image/target.ts'
import { viewOf } from './ops/copy.ts'
import { announce } from './solve/announce.ts'
import { requireRunnable } from './solve/emulation.ts'
import { lowerFor } from './solve/lowering.ts'
import { openSession, type Session } from './solve/session.ts'
import type { Solver, Watcher } from './solve/solver.ts'
import type { Snapshot } from './store/types.ts'

/**
 * Builds an image: text → stages → graph of ops → snapshots → image → outputs. Rejects with a TbuildError for everything that a user can cause;
 * nothing half-made is left when it does.
 */
export async function build(options: BuildOptions, hooks: BuildHooks = {}): Promise<BuildResult> {
  const onEvent = hooks.onEvent ?? (() => {})
  const signal = hooks.signal ?? new AbortController().signal
  const outputs = options.outputs ?? []
  const names = parseTags(options.tags ?? [])
  const platforms = options.platforms ?? [hostPlatform()]
  checkOutputs(options, platforms, names)
  const session = await openSession(options, onEvent, signal)
  try {
    const file = parseStages(session.inputs.dockerfile)
    const built = await buildPlatforms(file, platforms, session, { options, onEvent, signal })
    const images = built.map(({ image }) => image)
    await session.flush()
    await tagImages(session.store, images, [...new Set([...names, ...storeNames(outputs)])])
    const written = await writeOutputs(built, { options, names, stdout: hooks.stdout, onEvent, signal })
    if (built.some(({ executed }) => executed > 0)) await session.collect()
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
  } catch (error) {
    throw signal.aborted && !isTbuildError(error) ? canceled(error) : systemError(error)
  } finally {
    await session.close()
  }
}

interface Built extends BuiltPlatform {
  readonly steps: number
  readonly executed: number
}

interface Surroundings {
  readonly options: BuildOptions
  readonly onEvent: OnEvent
  readonly signal: AbortSignal
}

/** Nothing runs before all platforms are known to be buildable; then they share what they have in common. */
async function buildPlatforms(
  file: StagedDockerfile,
  platforms: readonly Platform[],
  session: Session,
  around: Surroundings,
): Promise<Built[]> {
  const { options, onEvent } = around
  const graphs: Graph[] = []
  for (const platform of platforms) graphs.push(await lowerFor(platform, file, session, { options, onEvent }))
  for (const graph of graphs) requireRunnable(graph.vertices)
  for (const graph of graphs) announce(graph, onEvent)
  const solver = session.solver(options.explain ? await explainer(session, onEvent) : undefined)
  const solved = await Promise.allSettled(graphs.map(({ target: { root } }) => (root === undefined ? [] : solver.solve(root))))
  const built: Built[] = []
  for (const [index, result] of solved.entries()) {
    if (result.status === 'rejected') throw result.reason
    const platform = platforms[index] as Platform
    built.push(await finishPlatform(platform, graphs[index] as Graph, result.value, session, { ...around, solver }))
  }
  return built
}

async function finishPlatform(
  platform: Platform,
  graph: Graph,
  snapshot: Snapshot,
  session: Session,
  { options, onEvent, signal, solver }: Surroundings & { readonly solver: Solver },
): Promise<Built> {
  const { snapshots, baseLayers } = session
  const assemble: BuiltPlatform['assemble'] = (how) =>
    assembleTarget(graph.target, snapshot, {
      ...how,
      blobs: session.store.blobs,
      ...{ snapshots, baseLayers },
      warn: (message) => onEvent({ type: 'notice', message }),
    })
  const { epoch } = graph
  return {
    ...{ platform, epoch, assemble },
    image: await assemble({ epoch, rewriteTimestamps: false, form: wantedForm(options.outputs ?? []) }),
    files: () => viewOf({ kind: 'snapshot', layers: snapshot }, { snapshots, baseLayers, signal }),
    steps: graph.vertices.filter(({ root, op }) => root !== undefined || op.kind === 'copy').length,
    executed: solver.executed,
  }
}

async function explainer({ store, content }: Session, onEvent: OnEvent): Promise<Watcher> {
  const { ExplainingWatcher } = await import('./explain/watcher.ts')
  return new ExplainingWatcher({ cache: store.cache, files: (digest) => content.files(digest), onEvent })
}

function canceled(cause: unknown): TbuildError {
  return new TbuildError('CANCELED', 'the build was canceled', { exitCode: 130, cause })
}

/** All platforms have one solver, and it counts what it ran. */
function stepCount(built: readonly Built[]): BuildResult['steps'] {
  const total = built.reduce((count, { steps }) => count + steps, 0)
  return { total, cached: total - (built[0]?.executed ?? 0) }
}

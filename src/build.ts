import { isTbuildError, TbuildError } from './base/errors.ts'
import type { OnEvent } from './base/events.ts'
import { hostPlatform, type Platform } from './base/platform.ts'
import type { BuildHooks, BuildOptions, BuildResult } from './build-options.ts'
import type { StagedDockerfile } from './dockerfile/instruction.ts'
import { parseStages } from './dockerfile/stages.ts'
import { buildMetadata } from './export/metadata.ts'
import { blobForm, checkOutputs, writeOutputs } from './export/outputs.ts'
import { parseTags, tagImages } from './export/tag.ts'
import { type Graph, lower } from './graph/lower.ts'
import { assembleTarget } from './image/target.ts'
import type { Image } from './image/types.ts'
import { lowerOptions } from './solve/lowering.ts'
import { openSession, type Session } from './solve/session.ts'

/**
 * Builds an image: text → stages → graph of ops → snapshots → image → outputs. Rejects with a TbuildError for everything that a user can cause;
 * nothing half-made is left when it does.
 */
export async function build(options: BuildOptions, hooks: BuildHooks = {}): Promise<BuildResult> {
  const onEvent = hooks.onEvent ?? (() => {})
  const signal = hooks.signal ?? new AbortController().signal
  const outputs = options.outputs ?? []
  checkOutputs(outputs)
  const names = parseTags(options.tags ?? [])
  const session = await openSession(options, onEvent, signal)
  try {
    const file = parseStages(session.inputs.dockerfile)
    const built: Built[] = []
    for (const platform of options.platforms ?? [hostPlatform()]) {
      built.push(await buildPlatform(file, platform, session, { options, onEvent }))
    }
    const images = built.map(({ image }) => image)
    await session.flush()
    await tagImages(session.store, images, names)
    const exported = await writeOutputs(outputs, images, { names, annotations: options.annotations ?? {}, stdout: hooks.stdout, onEvent })
    return {
      images: images.map(({ platform, configDigest }) => ({
        platform,
        configDigest,
        ...(exported && { manifestDigest: exported.manifestDigest }),
      })),
      tags: names,
      metadata: buildMetadata(images, names, exported),
      steps: { total: sum(built, ({ steps }) => steps), cached: sum(built, ({ steps, executed }) => steps - executed) },
    }
  } catch (error) {
    throw signal.aborted && !isTbuildError(error) ? canceled(error) : error
  } finally {
    await session.close()
  }
}

interface Built {
  readonly image: Image
  readonly steps: number
  readonly executed: number
}

async function buildPlatform(
  file: StagedDockerfile,
  platform: Platform,
  session: Session,
  { options, onEvent }: { options: BuildOptions; onEvent: OnEvent },
): Promise<Built> {
  const graph = await lower(file, lowerOptions(options, platform, session, onEvent))
  announce(graph, onEvent)
  const solver = session.solver()
  const snapshot = graph.target.root === undefined ? [] : await solver.solve(graph.target.root)
  const archive = options.outputs?.find(({ type }) => type === 'oci' || type === 'docker')
  const image = await assembleTarget(graph.target, snapshot, {
    blobs: session.store.blobs,
    snapshots: session.snapshots,
    baseLayers: session.baseLayers,
    form: archive && blobForm(archive),
    warn: (message) => onEvent({ type: 'notice', message }),
  })
  return {
    image,
    steps: graph.vertices.filter(({ root, op }) => root !== undefined || op.kind === 'copy').length,
    executed: solver.executed,
  }
}

function announce(graph: Graph, onEvent: OnEvent): void {
  for (const { id, name, stage, span } of graph.vertices) {
    onEvent({ type: 'vertex', id, name, ...(stage === undefined ? {} : { stage }), ...(span === undefined ? {} : { span }) })
  }
}

function canceled(cause: unknown): TbuildError {
  return new TbuildError('CANCELED', 'the build was canceled', { exitCode: 130, cause })
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}

import { SharedWork } from '../base/shared-work.ts'
import type { BuildResult, BuildTarget, OutputSpec, ResolvedOptions, TargetImage } from '../build-options.ts'
import { openCache } from '../cache/open.ts'
import { buildMetadata, imageId } from '../export/metadata.ts'
import { type BuiltPlatform, storeNames, type Written, wantedBy, writeOutputs } from '../export/outputs.ts'
import { keepLayers, tagImages } from '../export/tag.ts'
import type { Graph } from '../graph/lower.ts'
import type { Vertex } from '../graph/op.ts'
import { announce } from '../solve/announce.ts'
import { unrunnable } from '../solve/emulation.ts'
import { lowerFor, stagesOf } from '../solve/lowering.ts'
import { platformsOf } from '../solve/platforms.ts'
import type { Session } from '../solve/session.ts'
import type { Watcher } from '../solve/step-reports.ts'
import type { TreeView } from '../tree/types.ts'
import type { Platform } from '../values/platform.ts'
import { checkedNames } from './checked-names.ts'
import { Evaluation, type EvaluationDeps, rootsOf } from './evaluation.ts'
import type { Lifetime } from './lifetime.ts'
import type { CheckResult, OutlineResult, TargetsResult } from './questions.ts'

export interface OpenBuildDeps {
  readonly options: ResolvedOptions
  readonly session: Session
  readonly lifetime: Lifetime
  /** Called when it is closed; who closes it waits for this, too. */
  readonly onClose: () => Promise<void>
}

/**
 * The flow of one build, a step at a time: text → stages → graph of ops → snapshots → image → outputs. Each step does what has to come before it and was not
 * done yet, and rejects with a TbuildError for everything that a user can cause; after a failure it may be asked again. What is made and used stays in the
 * store until the build is closed.
 */
export class OpenBuild {
  readonly #deps: OpenBuildDeps
  readonly #lowered = new SharedWork<'targets', readonly Target[]>()
  readonly #prepared = new SharedWork<'build', Prepared>()
  #evaluation: Evaluation | undefined
  #isBuilt = false
  #closed: Promise<void> | undefined

  constructor(deps: OpenBuildDeps) {
    this.#deps = deps
  }

  /** What it makes, one for each platform: parsed and lowered, and nothing has run. Warnings of the Dockerfile are told. */
  targets(): Promise<readonly BuildTarget[]> {
    return this.#run(() => this.#lower())
  }

  /** Runs what the target (or all of them) needs and no cache has. */
  evaluate(target?: BuildTarget): Promise<void> {
    return this.#run(() =>
      this.#attempt(async (evaluation, { targets }) => {
        const wanted = target === undefined ? targets : [this.#own(target, targets)]
        for (const solved of await Promise.allSettled(wanted.map((one) => evaluation.solve(one)))) {
          if (solved.status === 'rejected') throw solved.reason
        }
        await this.#deps.session.flush()
      }),
    )
  }

  /** The root file system of a target, evaluated. It may be read until the build is closed. */
  files(target: BuildTarget): Promise<TreeView> {
    return this.#run(() =>
      this.#attempt(async (evaluation, { targets }) => evaluation.files(await evaluation.solve(this.#own(target, targets)))),
    )
  }

  /** Evaluates all targets, names the image, writes the outputs and leaves the caches of `cacheTo`. Nothing half-made is left when it fails. */
  export(outputs: readonly OutputSpec[] = []): Promise<BuildResult> {
    const options = { ...this.#deps.options, outputs }
    return this.#run(async () => {
      const names = checkedNames(options)
      const { evaluation, targets, built, written } = await this.#attempt(async (evaluation, { targets }) => {
        const built = await evaluation.build(targets, wantedBy(outputs))
        return { evaluation, targets, built, written: await this.#write(built, names, options) }
      })
      // What was learnt of files for caches, and the records that those gave.
      if (await evaluation.finishCaches(targets)) await this.#deps.session.flush()
      return { ...resultOf(built, names, written), steps: evaluation.count(targets) }
    })
  }

  /** A dry run: tells by `explain` events what would be taken from the cache, what would run and why. What the keys need is read as for a build. */
  plan(): Promise<void> {
    return this.#run(async () => {
      const { options, session, lifetime } = this.#deps
      const { progress } = lifetime
      const targets = await this.#lower()
      announce(verticesOf(targets), progress.onEvent)
      const watcher = await this.#explainer()
      const cache = await openCache({ ...options, cacheTo: [] }, session, progress)
      const walk = session.walk({ watcher, imported: cache?.imports })
      for (const root of rootsOf(targets)) await walk.plan(root)
      // What was learnt of the context's files.
      await session.flush()
    })
  }

  /** BuildKit's build checks, of all stages, or of the target and what it needs. */
  check(): Promise<CheckResult> {
    return this.#ask(({ checkFile }, { options, session, lifetime }) => checkFile(options, session, lifetime.progress))
  }

  /** The arguments, secrets and agents that a build of the target takes. */
  outline(): Promise<OutlineResult> {
    return this.#ask(({ outlineFile }, { options, session, lifetime }) => outlineFile(options, session, lifetime.progress))
  }

  /** The stages of the file. */
  stages(): Promise<TargetsResult> {
    return this.#ask(async ({ listStages }, { session }) => listStages(session.inputs.dockerfile))
  }

  /** Ends what is under way. gc may take what the build made and used, where no record or image has it. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const { session, lifetime, onClose } = this.#deps
    try {
      await lifetime.end()
      // Also a build that ran no step may have fetched layers.
      if (this.#isBuilt && session.store.grew()) await session.collect()
    } finally {
      await session.close().finally(onClose)
    }
  }

  #run<T>(work: () => Promise<T>): Promise<T> {
    return this.#deps.lifetime.run(work)
  }

  #ask<T>(question: (questions: typeof import('./questions.ts'), deps: OpenBuildDeps) => Promise<T>): Promise<T> {
    return this.#run(async () => question(await import('./questions.ts'), this.#deps))
  }

  #lower(): Promise<readonly Target[]> {
    return this.#lowered.of('targets', () => this.#lowerNow())
  }

  async #lowerNow(): Promise<readonly Target[]> {
    const { options, session, lifetime } = this.#deps
    const { onEvent } = lifetime.progress
    const file = stagesOf(session.inputs.dockerfile, { options, onEvent })
    const targets: Target[] = []
    for (const platform of platformsOf(options))
      targets.push(new Target(platform, await lowerFor(platform, file, session, { options, onEvent }), (target) => this.#image(target)))
    return targets
  }

  #prepare(): Promise<Prepared> {
    return this.#prepared.of('build', () => this.#prepareNow())
  }

  /** Nothing runs before all platforms are known to be buildable. */
  async #prepareNow(): Promise<Prepared> {
    const { options, session, lifetime } = this.#deps
    const { progress } = lifetime
    const targets = await this.#lower()
    const cache = await openCache(options, session, progress)
    const refused = unrunnable(verticesOf(targets))
    if (refused.size > 0) {
      const { refuseUnrunnable } = await import('../solve/refuse-unrunnable.ts')
      const walk = (watcher: Watcher) => session.walk({ watcher, imported: cache?.imports, silent: true })
      await refuseUnrunnable(rootsOf(targets), refused, { walk, cache: session.store.cache })
    }
    announce(verticesOf(targets), progress.onEvent)
    const watcher = options.explain ? await this.#explainer() : undefined
    return { targets, session, cache, refused, watcher, progress }
  }

  async #explainer(): Promise<Watcher> {
    const { session, lifetime } = this.#deps
    const { ExplainingWatcher } = await import('../explain/watcher.ts')
    const { store, content } = session
    return new ExplainingWatcher({ cache: store.cache, files: (digest) => content.files(digest), onEvent: lifetime.progress.onEvent })
  }

  /** After a failure another evaluation begins when it is asked again; what ran is in the store. */
  async #attempt<T>(work: (evaluation: Evaluation, prepared: Prepared) => Promise<T>): Promise<T> {
    const prepared = await this.#prepare()
    this.#evaluation ??= new Evaluation(prepared)
    const evaluation = this.#evaluation
    try {
      const result = await evaluation.retry(() => work(evaluation, prepared))
      this.#isBuilt = true
      return result
    } catch (error) {
      if (this.#evaluation === evaluation) this.#evaluation = undefined
      throw error
    }
  }

  async #write(built: readonly BuiltPlatform[], names: readonly string[], options: ResolvedOptions): Promise<Written | undefined> {
    const { session, lifetime } = this.#deps
    await session.flush()
    const images = built.map(({ image }) => image)
    await tagImages(images, storeNames(options.outputs ?? [], names), {
      store: session.store,
      layers: session.layers,
      ...lifetime.progress,
    })
    const { caller, registries, archives } = session
    return writeOutputs(built, { options, names, caller, registries, archives, ...lifetime.progress })
  }

  #image(target: Target): Promise<TargetImage> {
    return this.#run(() =>
      this.#attempt(async (evaluation) => {
        const { session, lifetime } = this.#deps
        const [built] = await evaluation.build([target], { form: undefined, readsFiles: false })
        const { image } = built as BuiltPlatform
        await keepLayers(image, { layers: session.layers, ...lifetime.progress })
        await session.flush()
        const { config, configDigest, layers } = image
        return { config, configDigest, layers: layers.map(({ id, diffId }) => ({ id, diffId })) }
      }),
    )
  }

  #own(target: BuildTarget, targets: readonly Target[]): Target {
    const own = targets.find((one) => one === target)
    if (own === undefined) throw new TypeError('this is a target of another build')
    return own
  }
}

interface Prepared extends EvaluationDeps {
  readonly targets: readonly Target[]
}

class Target implements BuildTarget {
  readonly platform: Platform
  readonly graph: Graph
  readonly image: BuildTarget['image']

  constructor(platform: Platform, graph: Graph, image: (target: Target) => Promise<TargetImage>) {
    this.platform = platform
    this.graph = graph
    this.image = () => image(this)
  }

  get stage(): string {
    return this.graph.stage
  }

  get config(): BuildTarget['config'] {
    return this.graph.target.config
  }
}

function verticesOf(targets: readonly Target[]): Vertex[] {
  return targets.flatMap(({ graph }) => graph.vertices)
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

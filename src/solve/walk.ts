import { isTbuildError, type TbuildError } from '../base/errors.ts'
import type { OnEvent } from '../base/events.ts'
import { newStack } from '../base/long-chains.ts'
import type { Vertex } from '../graph/op.ts'
import { belowOf, contextsOf } from '../graph/vertex.ts'
import { areDirectories } from '../layers/states.ts'
import type { BlobForm, LayerCatalog } from '../layers/types.ts'
import type { Ref } from '../ops/ref.ts'
import type { FoundStep, ImportedSteps, KeepingStepCache, StepKey, WantedStep } from '../ops/step-cache.ts'
import { handlerOf } from '../ops/table.ts'
import type { RootPart } from '../ops/types.ts'
import type { Locks } from '../store/locks.ts'
import type { KeyPart, Snapshot } from '../store/types.ts'
import { CallerFiles, type FileDeps, unique } from './caller-files.ts'
import { chainOf, stepKey } from './key.ts'
import { readParts } from './key-parts.ts'
import { reopen, type Step, stepOf, withRoots } from './step.ts'
import { StepReports, type Watcher } from './step-reports.ts'
import { StepRuns } from './step-runs.ts'
import { Stop } from './stop.ts'
import { Withdrawals } from './withdrawals.ts'
import type { Worker } from './worker.ts'

export interface WalkDeps {
  /** The store's. */
  readonly cache: KeepingStepCache
  /** Asked for what `cache` does not have. */
  readonly imported: ImportedSteps | undefined
  /** What is known of layers. */
  readonly layers: Pick<LayerCatalog, 'where' | 'source' | 'failures'>
  readonly worker: Worker
  readonly keys: FileDeps
  readonly onEvent: OnEvent
  readonly signal: AbortSignal
  /** Of all processes on the store that want a record, one makes it and the others wait. */
  readonly locks: Pick<Locks, 'singleFlight'>
  /** Hears of each step once, before it runs. */
  readonly watcher: Watcher | undefined
  /** Steps that must not run, with the reason: they have to be cached. */
  readonly refused: ReadonlyMap<Vertex, TbuildError> | undefined
}

/**
 * The walk over the graph. A step's key needs only the key of its root and the *content* of its sources, so a whole chain of cached steps is answered by
 * the last one's record: what nothing needs is neither run nor fetched. On a miss all inputs are solved at once, then the op runs in a slot of the worker; a
 * slot is never held while waiting for an input.
 */
export class Walk {
  readonly #deps: WalkDeps
  readonly #steps = new Map<Vertex, Step>()
  readonly #files: CallerFiles
  readonly #reports: StepReports
  readonly #stop: Stop
  readonly #withdrawals: Withdrawals
  readonly #runs: StepRuns

  constructor(deps: WalkDeps) {
    this.#deps = deps
    this.#stop = new Stop(deps.signal)
    const { signal } = this.#stop
    this.#files = new CallerFiles(this.#steps, deps.keys, { signal, emit: deps.onEvent })
    this.#withdrawals = new Withdrawals(this.#steps, { layers: deps.layers, imported: deps.imported, signal })
    this.#reports = new StepReports({ onEvent: deps.onEvent, watcher: deps.watcher })
    const own = { stop: this.#stop, files: this.#files, withdrawals: this.#withdrawals, reports: this.#reports }
    this.#runs = new StepRuns({ worker: deps.worker, refused: deps.refused, emit: deps.onEvent, ...own })
  }

  /** Steps that really ran. */
  get executed(): number {
    return [...this.#steps.values()].filter(({ hasRun }) => hasRun).length
  }

  /**
   * The root file system of a vertex; after a failure no process or half-made layer of the build is left when this rejects. `wanted`: the form of the blob that
   * an output wants of its last layer, whose files nobody in the build reads.
   */
  async solve(target: Vertex, wanted?: BlobForm): Promise<Snapshot> {
    const step = this.#step(target)
    step.wanted = wanted
    try {
      const layers = layersOf(await this.#ref(step))
      this.#reports.rest(step)
      return layers
    } catch (error) {
      throw await this.#stop.after(error)
    }
  }

  /** What `solve` would do, reported to the watcher: nothing runs, though sources are read. */
  async plan(target: Vertex): Promise<void> {
    const step = this.#step(target)
    await this.#planStep(step)
    this.#reports.rest(step)
  }

  async #planStep(step: Step): Promise<void> {
    if (step.isReported || step.isSource) return
    const found = await this.#lookup(step)
    const open = found === undefined ? belowOf(step) : step.isIndependent && step.root !== undefined ? [step.root] : []
    for (const below of open) await this.#planStep(below)
    const { watcher } = this.#deps
    if (found !== undefined) this.#reports.cached(step)
    else if (await this.#isKeyReady(step)) await watcher?.miss(step.vertex, await this.#key(step))
    else watcher?.unknown(step.vertex, await this.#waitsFor(step))
    step.isReported = true
  }

  /** The root file system of a vertex of a solved target, also of one below a cached step, as far as it is known without running or fetching anything. */
  async result(vertex: Vertex): Promise<Snapshot | undefined> {
    const step = this.#step(vertex)
    if (step.ref !== undefined) return step.ref.kind === 'snapshot' ? step.ref.layers : undefined
    const found = step.isSource ? undefined : await this.#lookup(step)
    if (found === undefined || !step.isIndependent || step.root === undefined) return found?.layers
    const below = await this.#known(step.root)
    return below === undefined ? undefined : [...below, ...found.layers]
  }

  /** An image is what it names, whether it was asked for or not. */
  #known(step: Step): Promise<Snapshot | undefined> {
    return step.vertex.op.kind === 'image' ? this.#layers(step) : this.result(step.vertex)
  }

  /** Does work on what was solved, and solves it and does it once more when a source of layers turned out to be wrong meanwhile. */
  retry<T>(work: () => Promise<T>): Promise<T> {
    return this.#withdrawals.retry(work)
  }

  /** Names of the contexts whose files are others now than the build has seen them. */
  changedContexts(): Promise<ReadonlySet<string>> {
    return this.#files.changedContexts()
  }

  /**
   * Saves records for the steps that imported caches had, where their layers are the store's by now, and all files are here that their keys are made of: later
   * builds need no cache for them.
   */
  async adopt(): Promise<void> {
    for (const step of this.#steps.values()) {
      const { vertex, imported } = step
      if (imported === undefined || !(await this.#areOurs(imported.layers)) || !(await this.#hasFiles(step))) continue
      await this.#deps.cache.keep({ vertex, key: await this.#key(step), layers: imported.layers })
    }
  }

  async #areOurs(snapshot: Snapshot): Promise<boolean> {
    const { layers } = this.#deps
    const states = await layers.where(snapshot)
    return snapshot.every((id) => (states.get(id) === 'remote' ? layers.source(id)?.trust === 'vouched' : states.get(id) !== 'missing'))
  }

  async #hasFiles(step: Step): Promise<boolean> {
    for (const { inputs } of withRoots(step)) {
      for (const input of inputs) {
        if (input.vertex.op.kind === 'context') continue
        const made = await this.#known(input)
        if (made === undefined || !areDirectories(await this.#deps.layers.where(made))) return false
      }
    }
    return true
  }

  #step(vertex: Vertex): Step {
    return stepOf(vertex, this.#steps)
  }

  #ref(step: Step): Promise<Ref> {
    step.answer ??= this.#answer(step)
    return step.answer
  }

  async #answer(step: Step): Promise<Ref> {
    const again = () => {
      this.#files.forget(step)
      reopen(step)
    }
    return this.#withdrawals.retry(() => this.#solveWhole(step), again)
  }

  /** With layers that nobody has withdrawn meanwhile; none is withdrawn unseen between the last look and the answer. */
  async #solveWhole(step: Step): Promise<Ref> {
    step.since = await this.#withdrawals.settled()
    let ref = await this.#solve(step)
    while (ref.kind === 'snapshot' && step.since !== this.#withdrawals.count) {
      step.since = await this.#withdrawals.settled()
      if (!(await this.#withdrawals.areGone(ref.layers))) continue
      reopen(step)
      ref = await this.#solve(step)
    }
    step.ref = ref
    return ref
  }

  async #solve(step: Step): Promise<Ref> {
    const found = await this.#lookup(step)
    if (found !== undefined) {
      this.#reports.cached(step)
      return this.#refOf(step, found)
    }
    const root = step.root === undefined ? [] : this.#layers(step.root)
    const [inputs, solvedRoot] = await Promise.all([this.#inputs(step), root])
    return this.#stop.track(this.#run(step, inputs, solvedRoot))
  }

  #inputs({ inputs }: Step): Promise<Ref[]> {
    return Promise.all(inputs.map((input) => this.#ref(input)))
  }

  async #layers(step: Step): Promise<Snapshot> {
    const ref = await this.#ref(step)
    return ref.kind === 'snapshot' ? ref.layers : []
  }

  /** What the caches have for a step, when that can be known without running or fetching anything. */
  #lookup(step: Step): Promise<FoundStep | undefined> {
    step.lookup ??= this.#find(step)
    return step.lookup
  }

  async #find(step: Step): Promise<FoundStep | undefined> {
    const { vertex, isSource } = step
    if (vertex.noCache || isSource) return undefined
    const key = (await this.#isKeyReady(step)) ? await this.#key(step) : undefined
    const wanted = { vertex, key, made: undefined }
    const since = this.#withdrawals.count
    const found = (await this.#deps.cache.lookup(wanted, this.#stop.signal)) ?? (await this.#findImported(step, wanted))
    if (since !== this.#withdrawals.count) return this.#find(step)
    step.found = found
    if (step.found !== undefined && key !== undefined) step.key = Promise.resolve(key)
    return step.found
  }

  /** An imported cache reads the caller's files by itself: what it finds by others than those of the keys is no step of this build. */
  async #findImported(step: Step, wanted: WantedStep): Promise<FoundStep | undefined> {
    const { imported } = this.#deps
    if (imported === undefined) return undefined
    await this.#readContexts(step)
    const found = await imported.lookup(wanted, this.#stop.signal)
    if (found === undefined || !(await this.#files.areAsRead(step))) return undefined
    step.imported = found
    return found
  }

  #isKeyReady(step: Step): Promise<boolean> {
    step.isKeyReady ??= this.#canKnowKey(step)
    return step.isKeyReady
  }

  async #canKnowKey({ root, inputs }: Step): Promise<boolean> {
    await newStack()
    if (root !== undefined && !(await this.#isKeyReady(root))) return false
    for (const input of inputs) if (!input.isSource && !(await this.#isReadable(input))) return false
    return true
  }

  /** Cached, and its files can be read at once. */
  async #isReadable(step: Step): Promise<boolean> {
    const found = await this.#lookup(step)
    return found !== undefined && found.pending !== true
  }

  /** The inputs of a step, and of those below it, that have to run, or be fetched, before its key can be known. */
  async #waitsFor(step: Step): Promise<Vertex[]> {
    const waits: Vertex[] = []
    for (const { inputs } of withRoots(step).reverse()) {
      for (const input of inputs) if (!input.isSource && !(await this.#isReadable(input))) waits.push(input.vertex)
    }
    return waits
  }

  #key(step: Step): Promise<StepKey> {
    step.key ??= this.#makeKey(step)
    return step.key
  }

  async #makeKey(step: Step): Promise<StepKey> {
    await newStack()
    const root = step.root === undefined || step.isIndependent ? null : await this.#rootPart(step.root)
    const parts = await this.#parts(step)
    // Found without a key, and what the key is made of has changed since: nobody may find it by that.
    const isOther = step.found !== undefined && this.#files.areOthers(step)
    return stepKey(step.vertex.op.kind, root, isOther ? [...parts, unique('files that changed after it was found')] : parts)
  }

  /** What a step above depends on: the whole chain, also below a layer that is keyed by itself. */
  async #rootPart(step: Step): Promise<RootPart> {
    const { op } = step.vertex
    const source = handlerOf(op).asRoot?.(op)
    if (source !== undefined) return source
    const key = await this.#key(step)
    return step.isIndependent && step.root !== undefined ? chainOf(await this.#rootPart(step.root), key) : key.digest
  }

  #parts(step: Step): Promise<readonly KeyPart[]> {
    step.parts ??= this.#readParts(step)
    return step.parts
  }

  async #readParts(step: Step): Promise<readonly KeyPart[]> {
    // They report by themselves when they fail.
    const inputs = await this.#inputs(step)
    if (step.isRemote) this.#reports.started(step)
    try {
      return await readParts(step.vertex, inputs, this.#deps.keys, this.#runs.io(step))
    } catch (error) {
      throw this.#runs.failed(step, error)
    }
  }

  /** Reads what of a step, and of all below it, is the caller's files, before they are read in another way to find it. */
  #readContexts(step: Step): Promise<void> {
    step.contextsRead ??= this.#tryContexts(step)
    return step.contextsRead
  }

  async #tryContexts(step: Step): Promise<void> {
    await newStack()
    if (contextsOf(step.vertex).length > 0) {
      if (step.inputs.every(({ isSource, isRemote }) => isSource || isRemote)) await this.#tryParts(step)
      if (step.parts === undefined) this.#files.markChanged(step)
    }
    for (const below of belowOf(step)) await this.#readContexts(below)
  }

  /** What cannot be read is wrong only when the step has to run. */
  async #tryParts(step: Step): Promise<void> {
    if (step.parts !== undefined) return
    try {
      const parts = await readParts(step.vertex, await this.#inputs(step), this.#deps.keys, this.#runs.io(step))
      step.parts ??= Promise.resolve(parts)
      await step.parts
    } catch (error) {
      if (!isTbuildError(error)) throw error
    }
  }

  async #run(step: Step, inputs: readonly Ref[], root: Snapshot): Promise<Ref> {
    if (step.isSource) return this.#runs.execute(step, inputs, root)
    const { vertex } = step
    const { cache, watcher, locks } = this.#deps
    const key = await this.#key(step)
    const wanted: WantedStep = { vertex, key, made: (other) => this.#steps.get(other)?.ref }
    let executed = false
    const found = await locks.singleFlight<FoundStep>(
      `step-${key.digest}`,
      () => cache.lookup(wanted, this.#stop.signal),
      async () => {
        const imported = vertex.noCache ? undefined : await this.#findImported(step, wanted)
        if (imported !== undefined) return imported
        await watcher?.miss(vertex, key)
        executed = true
        const ref = await this.#runs.execute(step, inputs, root)
        return cache.keep({ vertex, key: await this.#key(step), layers: layersOf(ref) })
      },
      { signal: this.#stop.signal },
    )
    if (!executed) this.#reports.cached(step, found.sameFiles)
    return this.#refOf(step, found)
  }

  async #refOf({ isIndependent, root }: Step, found: FoundStep): Promise<Ref> {
    const below = isIndependent && root !== undefined ? await this.#layers(root) : []
    return { kind: 'snapshot', layers: [...below, ...found.layers] }
  }
}

function layersOf(ref: Ref): Snapshot {
  if (ref.kind !== 'snapshot') throw new Error('a step makes a root file system')
  return ref.layers
}

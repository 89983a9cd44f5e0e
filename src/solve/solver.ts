import PQueue from 'p-queue'
import type { Digest } from '../base/digest.ts'
import { errorCode, isTbuildError, type TbuildError, withSpan } from '../base/errors.ts'
import type { OnEvent } from '../base/events.ts'
import type { Vertex } from '../graph/op.ts'
import type { ContentHasher } from '../ops/content.ts'
import type { Ref } from '../ops/ref.ts'
import { handlerOf } from '../ops/table.ts'
import type { StepDeps, StepIo } from '../ops/types.ts'
import type { Snapshotter } from '../snapshot/types.ts'
import { digestsIn } from '../store/listings.ts'
import type { Locks } from '../store/locks.ts'
import type { CacheIndex, CacheRecord, KeyPart, Snapshot } from '../store/types.ts'
import type { FoundStep, ImportedSteps } from './imported.ts'
import type { StepKey } from './key.ts'
import { neededLayers } from './needed-layers.ts'
import { remember } from './remember.ts'
import { StepKeys } from './step-keys.ts'
import { findTwin } from './twin.ts'
import { isIndependent, isRemote, isSource } from './vertex-kinds.ts'

/** How often files are copied that change meanwhile. */
const ATTEMPTS = 3

/** What steps are keyed and run with, and what the walk itself asks of it: whether files have changed, and which layers are here. */
export type SolveDeps = StepDeps & { readonly content: ContentHasher; readonly snapshots: Pick<Snapshotter, 'has'> }

export interface SolveOptions {
  readonly cache: CacheIndex
  /** Asked for what `cache` does not have. */
  readonly imported?: ImportedSteps | undefined
  readonly deps: SolveDeps
  readonly jobs: number
  readonly onEvent: OnEvent
  readonly signal: AbortSignal
  /** Of all processes on the store that want a record, one makes it and the others wait. */
  readonly locks: Pick<Locks, 'singleFlight'>
  /** Hears of each step once, before it runs. */
  readonly watcher?: Watcher | undefined
  /** Steps that must not run, with the reason: they have to be cached. */
  readonly refused?: ReadonlyMap<Vertex, TbuildError> | undefined
}

/** Whoever wants to know why steps run (src/explain). */
export interface Watcher {
  /** `sameFiles`: its key is new, but an earlier build did the same to the same files. */
  hit(vertex: Vertex, sameFiles: boolean): void
  miss(vertex: Vertex, key: StepKey): Promise<void>
  /** In a dry run: the key depends on what these steps would make. */
  unknown(vertex: Vertex, waitsFor: readonly Vertex[]): void
}

/**
 * The walk. A vertex's key needs only the key of its root and the *content* of its sources, so a whole chain of cached steps is answered by the last
 * one's record: what nothing needs is neither run nor fetched. On a miss all inputs are solved at once, then the op runs in a slot of the queue; a slot
 * is never held while waiting for an input.
 */
export class Solver {
  readonly #options: SolveOptions
  readonly #queue: PQueue
  readonly #abort = new AbortController()
  /** The caller's, and aborted by the first failure. The caller's may outlive many builds, so nothing is attached to it. */
  readonly #signal: AbortSignal
  readonly #refs = new Map<Vertex, Promise<Ref>>()
  readonly #keys: StepKeys
  /** Those of `#refs` that are known by now. */
  readonly #solved = new Map<Vertex, Ref>()
  readonly #hits = new Map<Vertex, Promise<FoundStep | undefined>>()
  readonly #ready = new Map<Vertex, Promise<boolean>>()
  readonly #reported = new Set<Vertex>()
  /** Made by this build: with --no-cache, too, what two platforms or stages have in common runs once. */
  readonly #fresh = new Map<Digest, CacheRecord>()
  readonly #fromImports = new Set<Vertex>()
  readonly #running = new Set<Promise<unknown>>()
  #executed = 0
  /** The first step that failed by itself: what others reject with afterwards is only its echo. */
  #failure: unknown

  constructor(options: SolveOptions) {
    this.#options = options
    this.#queue = new PQueue({ concurrency: options.jobs })
    this.#keys = new StepKeys({
      ref: (vertex) => this.#ref(vertex),
      deps: options.deps,
      io: (vertex) => this.#io(vertex),
      around: (vertex, read) => this.#readKey(vertex, read),
    })
    this.#signal = AbortSignal.any([options.signal, this.#abort.signal])
  }

  /** Steps that really ran. */
  get executed(): number {
    return this.#executed
  }

  /** The root file system of a vertex; after a failure no process or half-made layer of the build is left when this rejects. */
  async solve(target: Vertex): Promise<Snapshot> {
    try {
      const layers = layersOf(await this.#ref(target))
      this.#reportRest(target)
      return layers
    } catch (error) {
      // What still waits in the queue sees the signal when its turn comes: a cleared queue would never settle it.
      this.#abort.abort(error)
      await Promise.allSettled(this.#running)
      throw this.#options.signal.aborted ? this.#options.signal.reason : (this.#failure ?? error)
    }
  }

  /** What `solve` would do, told to the watcher: nothing runs, though sources are read. */
  async plan(target: Vertex): Promise<void> {
    await this.#planStep(target)
    this.#reportRest(target)
  }

  async #planStep(target: Vertex): Promise<void> {
    if (this.#reported.has(target) || isSource(target)) return
    const hit = await this.#hit(target)
    const open = hit === undefined ? [target.root, ...target.inputs] : isIndependent(target) ? [target.root] : []
    for (const below of open) if (below !== undefined) await this.#planStep(below)
    if (hit !== undefined) this.#cached(target)
    else if (await this.#keyIsReady(target)) await this.#options.watcher?.miss(target, await this.#keys.of(target))
    else this.#options.watcher?.unknown(target, await this.#waitsFor(target))
    this.#reported.add(target)
  }

  /** The root file system of a vertex of a solved target, also of one below a cached step, as far as it is known without running or fetching anything. */
  async result(vertex: Vertex): Promise<Snapshot | undefined> {
    const solved = this.#solved.get(vertex)
    if (solved !== undefined) return solved.kind === 'snapshot' ? solved.layers : undefined
    const hit = isSource(vertex) ? undefined : await this.#hit(vertex)
    if (hit === undefined || !isIndependent(vertex) || vertex.root === undefined) return hit?.layers
    const below = vertex.root.op.kind === 'image' ? await this.#layers(vertex.root) : await this.result(vertex.root)
    return below === undefined ? undefined : [...below, ...hit.layers]
  }

  /** Names of the contexts whose files are others now than the build has seen them. */
  changedContexts(): Promise<ReadonlySet<string>> {
    return this.#keys.changedContexts()
  }

  /** Saves a record for a step that an imported cache had, when all files that its key is made of are here. */
  async adopt(vertex: Vertex, layers: Snapshot, isHere: (layers: Snapshot) => Promise<boolean>): Promise<void> {
    if (!this.#fromImports.has(vertex)) return
    for (let step: Vertex | undefined = vertex; step !== undefined; step = step.root) {
      for (const input of step.inputs) {
        if (input.op.kind === 'context') continue
        const made = input.op.kind === 'image' ? await this.#layers(input) : await this.result(input)
        if (made === undefined || !(await isHere(made))) return
      }
    }
    await this.#save(vertex, await this.#keys.of(vertex), layers)
  }

  #ref(vertex: Vertex): Promise<Ref> {
    return remember(this.#refs, vertex, async () => {
      const ref = await this.#answer(vertex)
      this.#solved.set(vertex, ref)
      return ref
    })
  }

  async #answer(vertex: Vertex): Promise<Ref> {
    const hit = await this.#hit(vertex)
    if (hit !== undefined) {
      this.#cached(vertex)
      return this.#refOf(vertex, hit)
    }
    const inputs = Promise.all(vertex.inputs.map((input) => this.#ref(input)))
    const root = vertex.root === undefined ? [] : this.#layers(vertex.root)
    const [solvedInputs, solvedRoot] = await Promise.all([inputs, root])
    return this.#track(this.#run(vertex, solvedInputs, solvedRoot))
  }

  async #layers(vertex: Vertex): Promise<Snapshot> {
    const ref = await this.#ref(vertex)
    return ref.kind === 'snapshot' ? ref.layers : []
  }

  /** What the cache has for a vertex, when that can be known without running or fetching anything. */
  #hit(vertex: Vertex): Promise<FoundStep | undefined> {
    return remember(this.#hits, vertex, async () => {
      if (vertex.noCache || isSource(vertex)) return undefined
      const key = (await this.#keyIsReady(vertex)) ? await this.#keys.of(vertex) : undefined
      const record = key === undefined ? undefined : await this.#find(key)
      const found = record ?? (await this.#imported(vertex))
      if (found !== undefined) this.#keys.fix(vertex, key)
      return found
    })
  }

  /** An imported cache reads the caller's files by itself: what it finds by others than those of the keys is no step of this build. */
  async #imported(vertex: Vertex, solved?: (vertex: Vertex) => Ref | undefined): Promise<FoundStep | undefined> {
    const { imported } = this.#options
    if (imported === undefined) return undefined
    await this.#keys.readContexts(vertex)
    const found = await imported.find(vertex, solved)
    if (found === undefined || !(await this.#keys.areContextsAsRead(vertex))) return undefined
    this.#fromImports.add(vertex)
    return found
  }

  #keyIsReady(vertex: Vertex): Promise<boolean> {
    return remember(this.#ready, vertex, async () => {
      if (vertex.root !== undefined && !(await this.#keyIsReady(vertex.root))) return false
      for (const input of vertex.inputs) {
        if (!isSource(input) && !(await this.#isHere(input))) return false
      }
      return true
    })
  }

  /** Cached, and its files can be read at once. */
  async #isHere(vertex: Vertex): Promise<boolean> {
    const hit = await this.#hit(vertex)
    return hit !== undefined && hit.elsewhere !== true
  }

  /** The inputs of a step, and of those below it, that have to run, or be fetched, before its key can be known. */
  async #waitsFor(vertex: Vertex): Promise<Vertex[]> {
    const waits = vertex.root === undefined ? [] : await this.#waitsFor(vertex.root)
    for (const input of vertex.inputs) if (!isSource(input) && !(await this.#isHere(input))) waits.push(input)
    return waits
  }

  async #readKey(vertex: Vertex, read: () => Promise<readonly KeyPart[]>): Promise<readonly KeyPart[]> {
    if (isRemote(vertex)) this.#options.onEvent({ type: 'started', id: vertex.id, time: Date.now() })
    try {
      return await read()
    } catch (error) {
      throw this.#failed(vertex, error)
    }
  }

  async #find(key: StepKey): Promise<CacheRecord | undefined> {
    return this.#options.cache.find(key.digest)
  }

  async #run(vertex: Vertex, inputs: readonly Ref[], root: Snapshot): Promise<Ref> {
    if (isSource(vertex)) return this.#executeNow(vertex, inputs, root)
    const key = await this.#keys.of(vertex)
    let executed = false
    let twin: CacheRecord | undefined
    const found = await this.#options.locks.singleFlight<FoundStep>(
      `step-${key.digest}`,
      async () => (vertex.noCache ? this.#fresh.get(key.digest) : this.#find(key)),
      async () => {
        twin = await this.#twin(vertex, key, root)
        if (twin !== undefined) return this.#save(vertex, key, twin.layers)
        const imported = vertex.noCache ? undefined : await this.#imported(vertex, (other) => this.#solved.get(other))
        if (imported !== undefined) return imported
        await this.#options.watcher?.miss(vertex, key)
        executed = true
        const ref = await this.#execute(vertex, inputs, root)
        return this.#save(vertex, await this.#keys.of(vertex), layersOf(ref))
      },
      { signal: this.#signal },
    )
    if (!executed) this.#cached(vertex, twin !== undefined)
    return this.#refOf(vertex, found)
  }

  async #refOf(vertex: Vertex, found: FoundStep): Promise<Ref> {
    const below = isIndependent(vertex) && vertex.root !== undefined ? await this.#layers(vertex.root) : []
    return { kind: 'snapshot', layers: [...below, ...found.layers] }
  }

  async #execute(vertex: Vertex, inputs: readonly Ref[], root: Snapshot): Promise<Ref> {
    const ref = await this.#queue.add(() => this.#executeNow(vertex, inputs, root))
    return ref as Ref
  }

  async #executeNow(vertex: Vertex, inputs: readonly Ref[], root: Snapshot): Promise<Ref> {
    this.#signal.throwIfAborted()
    const { onEvent } = this.#options
    const silent = handlerOf(vertex.op).deferred === true
    if (!silent) this.#reported.add(vertex)
    if (!isSource(vertex) && !isRemote(vertex)) this.#executed += 1
    try {
      const refusal = this.#options.refused?.get(vertex)
      if (refusal !== undefined) throw refusal
      await this.#options.deps.baseLayers.ensure(neededLayers(vertex, inputs, root), this.#signal)
      if (!silent && !isRemote(vertex)) onEvent({ type: 'started', id: vertex.id, time: Date.now() })
      const ref = await this.#make(vertex, inputs, root)
      if (!silent) onEvent({ type: 'done', id: vertex.id, time: Date.now(), cached: false })
      return ref
    } catch (error) {
      throw this.#failed(vertex, error)
    }
  }

  /** The caller's files may have changed since they were hashed: what was made is kept only under the key of what it was made of. */
  async #make(vertex: Vertex, inputs: readonly Ref[], root: Snapshot): Promise<Ref> {
    const run = () => handlerOf(vertex.op).run(vertex.op, { root, inputs }, this.#options.deps, this.#io(vertex))
    for (let attempt = 1; attempt < ATTEMPTS; attempt += 1) {
      const ref = await run()
      if (!(await this.#keys.renew(vertex))) return ref
    }
    const ref = await run()
    // Somebody writes to them all the time, a log perhaps: nobody can say what was copied.
    if (await this.#keys.renew(vertex)) this.#keys.makeUnique(vertex)
    return ref
  }

  async #twin(vertex: Vertex, key: StepKey, root: Snapshot): Promise<CacheRecord | undefined> {
    if (vertex.noCache || isIndependent(vertex)) return undefined
    const { cache, deps } = this.#options
    return findTwin(vertex, key, root, { cache, snapshots: deps.snapshots, signal: this.#signal })
  }

  async #save(vertex: Vertex, key: StepKey, layers: Snapshot): Promise<CacheRecord> {
    const now = new Date().toISOString()
    const record: CacheRecord = {
      version: 1,
      key: key.digest,
      parts: key.parts,
      step: vertex.step,
      name: vertex.name,
      ...(vertex.span === undefined ? {} : { place: `${vertex.span.file.name}:${vertex.span.start.line}` }),
      layers: isIndependent(vertex) ? layers.slice(-1) : layers,
      created: now,
      lastUsed: now,
    }
    await this.#options.cache.save(record)
    this.#fresh.set(key.digest, record)
    this.#options.deps.content.keep(digestsIn(key.parts))
    return record
  }

  #failed(vertex: Vertex, error: unknown): unknown {
    const placed = vertex.span === undefined ? error : withSpan(error, vertex.span)
    const aborted = this.#signal.aborted
    // The build begins again without that cache: no failure to show.
    const canceled = aborted || errorCode(error) === 'CACHE_LAYER_UNUSABLE'
    if (!aborted) {
      this.#failure ??= placed
      this.#abort.abort(placed)
    }
    const message = isTbuildError(placed) ? placed.message : String((placed as Error)?.message ?? placed)
    this.#options.onEvent({ type: 'failed', id: vertex.id, time: Date.now(), canceled, message })
    return placed
  }

  /** A hit answers for the steps below it too, but for that of a layer that is found on anything. */
  #cached(vertex: Vertex, sameFiles = false, answers = !isIndependent(vertex)): void {
    if (this.#reported.has(vertex)) return
    this.#reported.add(vertex)
    // Told in the order of the Dockerfile.
    if (vertex.root !== undefined && answers) this.#cached(vertex.root, false, true)
    if (!isSource(vertex)) this.#options.watcher?.hit(vertex, sameFiles)
    this.#options.onEvent({ type: 'done', id: vertex.id, time: Date.now(), cached: true })
  }

  /** An imported cache may answer for a step without a look at what it is made of: then that was not needed. */
  #reportRest(target: Vertex): void {
    const seen = new Set<Vertex>()
    const visit = (vertex: Vertex) => {
      if (seen.has(vertex) || isSource(vertex)) return
      seen.add(vertex)
      if (vertex.root !== undefined) visit(vertex.root)
      for (const input of vertex.inputs) visit(input)
      this.#cached(vertex)
    }
    visit(target)
  }

  #io(vertex: Vertex): StepIo {
    return { vertex: vertex.id, signal: this.#signal, emit: this.#options.onEvent }
  }

  #track<T>(work: Promise<T>): Promise<T> {
    const settled = work.finally(() => this.#running.delete(settled))
    this.#running.add(settled)
    return settled
  }
}

function layersOf(ref: Ref): Snapshot {
  if (ref.kind !== 'snapshot') throw new Error('a step makes a root file system')
  return ref.layers
}

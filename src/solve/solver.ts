import PQueue from 'p-queue'
import type { Digest } from '../base/digest.ts'
import { errorCode, isTbuildError, type TbuildError, withSpan } from '../base/errors.ts'
import type { OnEvent } from '../base/events.ts'
import type { Vertex } from '../graph/op.ts'
import type { Ref } from '../ops/ref.ts'
import { handlerOf } from '../ops/table.ts'
import type { RootPart, Tools } from '../ops/types.ts'
import { digestsIn } from '../store/listings.ts'
import type { Locks } from '../store/locks.ts'
import type { CacheIndex, CacheRecord, Snapshot } from '../store/types.ts'
import { chainOf, type StepKey, stepKey } from './key.ts'
import { findTwin } from './twin.ts'

export interface SolveOptions {
  readonly cache: CacheIndex
  /** Everything but what belongs to one vertex or to the running of this solver. */
  readonly tools: Omit<Tools, 'vertex' | 'signal' | 'emit'>
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
  readonly #refs = new Map<Vertex, Promise<Ref>>()
  readonly #keys = new Map<Vertex, Promise<StepKey>>()
  readonly #hits = new Map<Vertex, Promise<CacheRecord | undefined>>()
  readonly #ready = new Map<Vertex, Promise<boolean>>()
  readonly #told = new Set<Vertex>()
  /** Made by this build: with --no-cache, too, what two platforms or stages have in common runs once. */
  readonly #fresh = new Map<Digest, CacheRecord>()
  readonly #running = new Set<Promise<unknown>>()
  #executed = 0
  /** The first step that failed by itself: what others reject with afterwards is only its echo. */
  #failure: unknown

  constructor(options: SolveOptions) {
    this.#options = options
    this.#queue = new PQueue({ concurrency: options.jobs })
    if (options.signal.aborted) this.#abort.abort(options.signal.reason)
    options.signal.addEventListener('abort', () => this.#abort.abort(options.signal.reason), { once: true })
  }

  /** Steps that really ran. */
  get executed(): number {
    return this.#executed
  }

  /** The root file system of a vertex; after a failure no process or half-made layer of the build is left when this rejects. */
  async solve(target: Vertex): Promise<Snapshot> {
    try {
      return layersOf(await this.#ref(target))
    } catch (error) {
      // What still waits in the queue sees the signal when its turn comes: a cleared queue would never settle it.
      this.#abort.abort(error)
      await Promise.allSettled(this.#running)
      throw this.#options.signal.aborted ? this.#options.signal.reason : (this.#failure ?? error)
    }
  }

  /** What `solve` would do, told to the watcher: nothing runs, though sources are read. */
  async plan(target: Vertex): Promise<void> {
    if (this.#told.has(target) || isSource(target)) return
    const hit = await this.#hit(target)
    const open = hit === undefined ? [target.root, ...target.inputs] : isIndependent(target) ? [target.root] : []
    for (const below of open) if (below !== undefined) await this.plan(below)
    if (hit !== undefined) this.#cached(target)
    else if (await this.#keyIsReady(target)) await this.#options.watcher?.miss(target, await this.#key(target))
    else this.#options.watcher?.unknown(target, await this.#waitsFor(target))
    this.#told.add(target)
  }

  /**
   * The records that answer for a solved target: `own` for its own chain, from the bottom, `others` for what it was made of besides. Of steps below a
   * cached one, too, so that a cache that is carried elsewhere has them.
   */
  async records(target: Vertex): Promise<{ readonly own: CacheRecord[]; readonly others: CacheRecord[] }> {
    const own = new Map<Vertex, CacheRecord>()
    const others = new Map<Vertex, CacheRecord>()
    const seen = new Set<Vertex>()
    const visit = async (vertex: Vertex, into: Map<Vertex, CacheRecord>) => {
      if (seen.has(vertex) || isSource(vertex)) return
      seen.add(vertex)
      if (vertex.root !== undefined) await visit(vertex.root, into)
      for (const input of vertex.inputs) await visit(input, others)
      const key = await (this.#keys.get(vertex) ?? ((await this.#keyIsReady(vertex)) ? this.#key(vertex) : undefined))
      const record = key && (this.#fresh.get(key.digest) ?? (await this.#find(key)))
      if (record !== undefined) into.set(vertex, record)
    }
    await visit(target, own)
    return { own: [...own.values()], others: [...others.values()] }
  }

  #ref(vertex: Vertex): Promise<Ref> {
    return remember(this.#refs, vertex, () => this.#make(vertex))
  }

  async #make(vertex: Vertex): Promise<Ref> {
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

  /** The record of a vertex, when its key can be known without running anything. */
  #hit(vertex: Vertex): Promise<CacheRecord | undefined> {
    return remember(this.#hits, vertex, async () => {
      if (vertex.noCache || isSource(vertex)) return undefined
      return (await this.#keyIsReady(vertex)) ? this.#find(await this.#key(vertex)) : undefined
    })
  }

  #keyIsReady(vertex: Vertex): Promise<boolean> {
    return remember(this.#ready, vertex, async () => {
      if (vertex.root !== undefined && !(await this.#keyIsReady(vertex.root))) return false
      for (const input of vertex.inputs) {
        if (!isSource(input) && (await this.#hit(input)) === undefined) return false
      }
      return true
    })
  }

  /** The inputs of a step, and of those below it, that have to run before its key can be known. */
  async #waitsFor(vertex: Vertex): Promise<Vertex[]> {
    const waits = vertex.root === undefined ? [] : await this.#waitsFor(vertex.root)
    for (const input of vertex.inputs) if (!isSource(input) && (await this.#hit(input)) === undefined) waits.push(input)
    return waits
  }

  #key(vertex: Vertex): Promise<StepKey> {
    return remember(this.#keys, vertex, async () => {
      const root = vertex.root === undefined || isIndependent(vertex) ? null : await this.#rootPart(vertex.root)
      const handler = handlerOf(vertex.op)
      const inputs = await Promise.all(vertex.inputs.map((input) => this.#ref(input)))
      if (isRemote(vertex)) this.#options.onEvent({ type: 'started', id: vertex.id, time: Date.now() })
      try {
        const parts = (await handler.key?.(vertex.op, inputs, this.#tools(vertex))) ?? []
        return stepKey(vertex.op.kind, root, parts)
      } catch (error) {
        throw this.#failed(vertex, error)
      }
    })
  }

  /** What a step above depends on: the whole chain, also below a layer that is keyed by itself. */
  async #rootPart(vertex: Vertex): Promise<RootPart> {
    const source = handlerOf(vertex.op).asRoot?.(vertex.op)
    if (source !== undefined) return source
    const key = await this.#key(vertex)
    return isIndependent(vertex) && vertex.root !== undefined ? chainOf(await this.#rootPart(vertex.root), key) : key.digest
  }

  async #find(key: StepKey): Promise<CacheRecord | undefined> {
    return this.#options.cache.find(key.digest)
  }

  async #run(vertex: Vertex, inputs: readonly Ref[], root: Snapshot): Promise<Ref> {
    if (isSource(vertex)) return this.#executeNow(vertex, inputs, root)
    const key = await this.#key(vertex)
    let executed = false
    let twin: CacheRecord | undefined
    const record = await this.#options.locks.singleFlight(
      `step-${key.digest}`,
      async () => (vertex.noCache ? this.#fresh.get(key.digest) : this.#find(key)),
      async () => {
        twin = await this.#twin(vertex, key, root)
        if (twin !== undefined) return this.#save(vertex, key, twin.layers)
        await this.#options.watcher?.miss(vertex, key)
        executed = true
        const ref = await this.#execute(vertex, inputs, root)
        return this.#save(vertex, key, layersOf(ref))
      },
      { signal: this.#abort.signal },
    )
    if (!executed) this.#cached(vertex, twin !== undefined)
    return this.#refOf(vertex, record)
  }

  async #refOf(vertex: Vertex, record: CacheRecord): Promise<Ref> {
    const below = isIndependent(vertex) && vertex.root !== undefined ? await this.#layers(vertex.root) : []
    return { kind: 'snapshot', layers: [...below, ...record.layers] }
  }

  async #execute(vertex: Vertex, inputs: readonly Ref[], root: Snapshot): Promise<Ref> {
    const ref = await this.#queue.add(() => this.#executeNow(vertex, inputs, root))
    return ref as Ref
  }

  async #executeNow(vertex: Vertex, inputs: readonly Ref[], root: Snapshot): Promise<Ref> {
    this.#abort.signal.throwIfAborted()
    const { onEvent } = this.#options
    const tells = handlerOf(vertex.op).deferred !== true
    if (tells && !isRemote(vertex)) onEvent({ type: 'started', id: vertex.id, time: Date.now() })
    if (tells) this.#told.add(vertex)
    if (!isSource(vertex) && !isRemote(vertex)) this.#executed += 1
    try {
      const refusal = this.#options.refused?.get(vertex)
      if (refusal !== undefined) throw refusal
      const ref = await handlerOf(vertex.op).run(vertex.op, { root, inputs }, this.#tools(vertex))
      if (tells) onEvent({ type: 'done', id: vertex.id, time: Date.now(), cached: false })
      return ref
    } catch (error) {
      throw this.#failed(vertex, error)
    }
  }

  async #twin(vertex: Vertex, key: StepKey, root: Snapshot): Promise<CacheRecord | undefined> {
    if (vertex.noCache || isIndependent(vertex)) return undefined
    const { cache, tools } = this.#options
    return findTwin(vertex, key, root, { cache, snapshots: tools.snapshots, signal: this.#abort.signal })
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
    this.#options.tools.content.keep(digestsIn(key.parts))
    return record
  }

  #failed(vertex: Vertex, error: unknown): unknown {
    const placed = vertex.span === undefined ? error : withSpan(error, vertex.span)
    const aborted = this.#abort.signal.aborted
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
    if (this.#told.has(vertex)) return
    this.#told.add(vertex)
    // Told in the order of the Dockerfile.
    if (vertex.root !== undefined && answers) this.#cached(vertex.root, false, true)
    if (!isSource(vertex)) this.#options.watcher?.hit(vertex, sameFiles)
    this.#options.onEvent({ type: 'done', id: vertex.id, time: Date.now(), cached: true })
  }

  #tools(vertex: Vertex): Tools {
    return { ...this.#options.tools, vertex: vertex.id, signal: this.#abort.signal, emit: this.#options.onEvent }
  }

  #track<T>(work: Promise<T>): Promise<T> {
    const settled = work.finally(() => this.#running.delete(settled))
    this.#running.add(settled)
    return settled
  }
}

/** Without a record: what it names is what it is. */
function isSource({ op }: Vertex): boolean {
  return handlerOf(op).key === undefined
}

function isRemote({ op }: Vertex): boolean {
  return handlerOf(op).remote === true
}

function isIndependent({ op }: Vertex): boolean {
  return handlerOf(op).independent?.(op) === true
}

function layersOf(ref: Ref): Snapshot {
  if (ref.kind !== 'snapshot') throw new Error('a step makes a root file system')
  return ref.layers
}

function remember<K, V>(known: Map<K, Promise<V>>, key: K, make: () => Promise<V>): Promise<V> {
  let value = known.get(key)
  if (value === undefined) {
    value = make()
    known.set(key, value)
  }
  return value
}

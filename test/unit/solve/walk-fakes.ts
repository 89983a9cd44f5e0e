import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, sha256 } from '../../../src/base/digest.ts'
import { TbuildError } from '../../../src/base/errors.ts'
import type { BuildEvent } from '../../../src/base/events.ts'
import type { CopyOp, ExecOp, Op, Vertex } from '../../../src/graph/op.ts'
import type { LayerCatalog, LayerSource } from '../../../src/layers/types.ts'
import type { ContentHasher } from '../../../src/ops/content.ts'
import type { Ref } from '../../../src/ops/ref.ts'
import type { DoneStep, FoundStep, ImportedSteps, WantedStep } from '../../../src/ops/step-cache.ts'
import type { FileDeps } from '../../../src/solve/caller-files.ts'
import { neededLayers } from '../../../src/solve/needed-layers.ts'
import { StoreSteps } from '../../../src/solve/store-steps.ts'
import { Walk, type WalkDeps } from '../../../src/solve/walk.ts'
import type { StepRequest, Worker, WorkerIo } from '../../../src/solve/worker.ts'
import { createLocks } from '../../../src/store/locks.ts'
import type { CacheIndex, CacheRecord, LayerId, Snapshot } from '../../../src/store/types.ts'
import { layeredView } from '../../../src/tree/view.ts'
import { processSettings } from '../../../src/values/process-settings.ts'

/** A walk on fakes that count: a store of records in memory, layers as directories, and a worker that makes what it is told to. */

const refuse = () => Promise.reject(new Error('nothing is fetched'))

let vertices = 0

function vertex(op: Op, root?: Vertex, inputs: readonly Vertex[] = [], more: Partial<Vertex> = {}): Vertex {
  vertices += 1
  const name = op.kind === 'exec' ? op.args.join(' ') : op.kind
  return { id: `v${vertices}`, op, root, inputs, name, step: `step ${name}`, noCache: false, ...more }
}

const PLATFORM = { os: 'linux', architecture: 'amd64' }

export const image = (name = 'base'): Vertex => vertex({ kind: 'image', name, platform: PLATFORM, digest: sha256(name) })
export const context = (): Vertex => vertex({ kind: 'context', name: 'context' })

export function run(args: string, root?: Vertex, more?: Partial<Vertex>): Vertex {
  const op: ExecOp = {
    kind: 'exec',
    args: [args],
    env: [],
    proxyEnv: [],
    cwd: '/',
    user: '',
    hostname: '',
    network: 'default',
    security: 'sandbox',
    mounts: [],
    settings: processSettings({}),
    platform: PLATFORM,
  }
  return vertex(op, root, [], more)
}

export function copy(source: Vertex, root?: Vertex, { link = false }: { readonly link?: boolean } = {}, more?: Partial<Vertex>): Vertex {
  const op: CopyOp = {
    kind: 'copy',
    sources: [{ kind: 'path', input: 0, path: '/file', unpack: false }],
    destination: '/',
    link,
    parents: false,
    exclude: [],
  }
  return vertex(op, root, [source], more)
}

/** The caller's directory: `content` is what is in it now. */
class FakeFiles {
  content = 'old'
  hashed = 0

  get hasher(): ContentHasher {
    let seen: string | undefined
    const digest = async (ref: Ref): Promise<Digest> => {
      this.hashed += 1
      if (ref.kind === 'snapshot') return sha256(ref.layers.join())
      seen ??= this.content
      return sha256(seen)
    }
    return { digest, refreshed: () => this.hasher, files: () => undefined, keep: () => {} }
  }
}

/** Makes layers of which two are the same when they were made by the same command, unless `make` says otherwise. */
class FakeWorker implements Worker {
  readonly ran: string[] = []
  make: (name: string, io: WorkerIo) => Promise<void> = async () => {}
  readonly #store: FakeStore

  constructor(store: FakeStore) {
    this.#store = store
  }

  async run(step: StepRequest, io: WorkerIo): Promise<Ref> {
    const { op, root } = step
    if (op.kind === 'context') {
      return { kind: 'files', identity: op.name, view: layeredView([]), resetOwner: true, hiddenBy: () => undefined }
    }
    if (op.kind === 'image') return { kind: 'snapshot', layers: [layer(op.name)] }
    io.signal.throwIfAborted()
    this.#store.fetch(neededLayers(step))
    io.onStart()
    const name = op.kind === 'exec' ? op.args.join(' ') : op.kind
    this.ran.push(name)
    await this.make(name, io)
    return { kind: 'snapshot', layers: [...root, this.#store.newLayer()] }
  }
}

export const layer = (name: string): LayerId => name as LayerId

/** Records, and a folder of empty layers. */
export class FakeStore {
  readonly records = new Map<string, CacheRecord>()
  /** Those that are no directories. */
  readonly states = new Map<LayerId, 'remote' | 'missing'>()
  /** Layers that are not to be had where they are offered. */
  readonly bad = new Map<LayerId, LayerSource>()
  readonly fetched: LayerId[] = []
  readonly #failures = new Map<LayerSource, string>()
  readonly folder: string
  #layers = 0

  constructor(folder: string) {
    this.folder = folder
  }

  newLayer(): LayerId {
    this.#layers += 1
    const id = layer(`layer-${this.#layers}`)
    mkdirSync(join(this.folder, id), { recursive: true })
    return id
  }

  /** As the catalog does it when files are needed. */
  fetch(layers: Snapshot): void {
    for (const id of layers) {
      if (this.states.get(id) === 'missing') throw new TbuildError('SNAPSHOT_MISSING', `the store has no layer ${id}`)
      const source = this.bad.get(id)
      if (source !== undefined) {
        this.#failures.set(source, 'it has no such blob')
        throw new TbuildError('CACHE_LAYER_UNUSABLE', 'it has no such blob')
      }
      if (this.states.delete(id)) this.fetched.push(id)
    }
  }

  withdraw(source: LayerSource): void {
    this.#failures.delete(source)
    for (const [id, from] of [...this.bad]) {
      if (from !== source) continue
      this.bad.delete(id)
      this.states.set(id, 'missing')
    }
  }

  readonly cache: CacheIndex = {
    find: async (key) => this.records.get(key),
    nearest: async (step, limit) => [...this.records.values()].filter((record) => record.step === step).slice(0, limit),
    save: async (record) => {
      this.records.set(record.key, record)
    },
    list: async function* () {},
    delete: async () => {},
  }

  readonly layers: Pick<LayerCatalog, 'where' | 'directories' | 'source' | 'failures'> = {
    failures: this.#failures,
    source: (id) => this.bad.get(id),
    where: async (ids) => new Map(ids.map((id) => [id, this.states.get(id) ?? 'directory'])),
    directories: async (layers: Snapshot) => layers.map((id) => join(this.folder, id)),
  }
}

export const source = (name: string): LayerSource => ({ name, trust: 'claimed', origin: undefined, pull: undefined, blob: refuse })

/** Caches that other builds left: what is found for steps of a name. */
export class FakeImports implements ImportedSteps {
  readonly asked: string[] = []
  readonly withdrawn: string[] = []
  readonly has = new Map<string, FoundStep>()
  readonly #store: FakeStore

  constructor(store: FakeStore) {
    this.#store = store
  }

  /** A step with one layer of its own, which is not to be had. */
  promise(name: string, from: LayerSource): void {
    const id = layer(`of ${name}`)
    this.#store.states.set(id, 'remote')
    this.#store.bad.set(id, from)
    this.has.set(name, { layers: [layer('base'), id], pending: true, source: from })
  }

  withdraw(from: LayerSource): void {
    this.#store.withdraw(from)
    this.withdrawn.push(from.name)
    for (const [name, found] of this.has) if (found.source === from) this.has.delete(name)
  }

  async lookup({ vertex: { name } }: WantedStep): Promise<FoundStep | undefined> {
    this.asked.push(name)
    return this.has.get(name)
  }
}

/** One build on a store: what it ran, hashed, kept and reported. */
export function build(folder: string, store: FakeStore, given: Partial<WalkDeps> = {}) {
  const files = new FakeFiles()
  const worker = new FakeWorker(store)
  const events: BuildEvent[] = []
  const kept: DoneStep[] = []
  const keys: FileDeps = {
    content: files.hasher,
    layers: { directories: refuse },
    secrets: { withholds: () => false },
    remotes: { file: refuse, commit: refuse },
  }
  const steps = new StoreSteps({ cache: store.cache, layers: store.layers, content: files.hasher })
  const walk = new Walk({
    cache: {
      lookup: (step, signal) => steps.lookup(step, signal),
      keep: (step) => {
        kept.push(step)
        return steps.keep(step)
      },
    },
    worker,
    keys,
    layers: store.layers,
    locks: createLocks(folder),
    onEvent: (event) => events.push(event),
    signal: new AbortController().signal,
    ...{ imported: undefined, watcher: undefined, refused: undefined },
    ...given,
  })
  return { walk, worker, files, events, kept }
}

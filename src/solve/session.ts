import { availableParallelism } from 'node:os'
import type { Progress } from '../base/events.ts'
import type { ResolvedOptions } from '../build-options.ts'
import type { Caller } from '../caller/caller.ts'
import { type BuildInputs, loadInputs } from '../context/contexts.ts'
import { NamedContexts } from '../context/named.ts'
import { openCatalog } from '../layers/catalog.ts'
import type { LayerCatalog } from '../layers/types.ts'
import type { ContentHasher } from '../ops/content.ts'
import { contentHasher } from '../ops/content-hasher.ts'
import type { Remotes } from '../ops/remotes.ts'
import type { StepDeps } from '../ops/types.ts'
import { createSnapshotter } from '../snapshot/snapshotter.ts'
import type { Snapshotter } from '../snapshot/types.ts'
import { Registries } from '../sources/registry/open.ts'
import { resettingCacheMounts } from '../store/cache-mounts.ts'
import type { FileDigests } from '../store/file-digests.ts'
import type { StatCacheFile } from '../store/stat-cache.ts'
import type { SharedStore, Store } from '../store/store.ts'
import { DEFAULT_LIMITS } from '../values/limits.ts'
import type { FileDeps } from './caller-files.ts'
import { contextSources } from './context-sources.ts'
import { imageSources } from './image-sources.ts'
import { Images } from './images.ts'
import type { Sandboxes } from './lazy-sandbox.ts'
import { LocalWorker, type Slots } from './local-worker.ts'
import { remotes } from './remotes.ts'
import { openSecrets, type Secrets } from './secrets.ts'
import { SpareMachine, thisMachine } from './spare-machine.ts'
import { StoreSteps, type StoreStepsDeps } from './store-steps.ts'
import { Walk, type WalkDeps } from './walk.ts'

/** Steps at once, also where they have something to do. Most wait (for apt, npm, a compiler's disk), and BuildKit has no limit. */
const DEFAULT_JOBS = Math.max(16, 4 * availableParallelism())

/** Files of outputs that are remembered besides those of this build: each takes a line that every export reads. */
const SPARE_ARCHIVES = 200

/** What steps are keyed, looked for and run with. */
type WalkedWith = StepDeps & FileDeps & Pick<WalkDeps, 'layers'> & Pick<StoreStepsDeps, 'content' | 'layers'>

type WalkOptions = Partial<Pick<WalkDeps, 'watcher' | 'imported' | 'refused'>> & {
  /** A dry run whose events nobody is to see. */
  readonly silent?: boolean
}

/** What an engine has for all its builds. */
export interface EngineDeps {
  readonly store: SharedStore
  readonly sandboxes: Sandboxes
}

/** Everything with an effect that one build uses, opened from its options. It is an operation on the store, with a lease until it is closed. */
export interface Session {
  readonly store: Store
  readonly snapshots: Snapshotter
  readonly layers: LayerCatalog
  readonly images: Images
  readonly inputs: BuildInputs
  readonly contexts: NamedContexts
  readonly content: ContentHasher
  readonly remotes: Remotes
  readonly registries: Registries
  readonly caller: Caller
  /** Digests of files by their stat, as other builds learnt them: for what is hashed in another way than the store's own keys. */
  fileDigests(identity: string): FileDigests
  /** Files of outputs as earlier builds wrote them. */
  readonly archives: StatCacheFile
  /** `watcher` hears why steps run; `imported` is asked for what the store does not have. */
  walk(options?: WalkOptions): Walk
  /** Keeps what was learnt of files and makes the build's layers survive a power cut: before its image is named. */
  flush(): Promise<void>
  /** gc, when it is its time: for a build that wrote something. */
  collect(): Promise<void>
  close(): Promise<void>
}

export async function openSession(
  options: ResolvedOptions,
  caller: Caller,
  engine: EngineDeps,
  { onEvent, signal }: Progress,
): Promise<Session> {
  const onNotice = (message: string) => onEvent({ type: 'notice', message })
  const store = engine.store.begin({ onNotice })
  const registries = new Registries(caller)
  const secrets = openSecrets(options, caller, store.temporary)
  const close = () => closeAll(secrets, registries, store)
  try {
    for (const id of options.agents) await caller.agent(id)
    const snapshots = createSnapshotter(store)
    const limits = { ...DEFAULT_LIMITS, ...options.limits }
    const layers = openCatalog({ ...store, snapshots, maxBytes: limits.unpack, signal })
    const images = new Images(imageSources(options, { store, registries, caller, layers, signal }), layers, onEvent, signal)
    const caches = new StatCaches(store)
    const agent = isOverSsh(options.context) ? secrets.ownAgent : undefined
    const withoutContexts: Omit<WalkedWith, 'contexts'> = {
      snapshots,
      layers,
      content: contentHasher({ ...caches.forContent(), layers, listings: store.listings }),
      sandbox: engine.sandboxes.for({ onNotice, isolation: options.isolation }),
      cacheMounts: options.resetCacheMounts ? resettingCacheMounts(store.cacheMounts, onNotice) : store.cacheMounts,
      cacheMountOwner: options.cacheMountOwner === 'user' ? 'user' : undefined,
      remotes: remotes({ images, store, secrets, known: caches.open('files of URLs'), caller, registries, agent, limits }),
      secrets,
      limits,
    }
    const slots =
      options.jobs === undefined
        ? { least: DEFAULT_JOBS, spare: new SpareMachine(thisMachine, 4 * availableParallelism()) }
        : { least: options.jobs }
    const owner = { store, slots, onEvent, signal }
    const sources = contextSources({
      ...{ store, snapshots, onEvent, unpackLimit: limits.unpack, signal },
      walk: () => newWalk({ ...withoutContexts, contexts: NO_CONTEXTS }, owner),
    })
    const inputs = await loadInputs(options, caller, sources)
    const deps = { ...withoutContexts, contexts: await NamedContexts.of(options.buildContexts ?? {}, inputs, caller, sources) }
    return {
      ...{ store, snapshots, layers, images, inputs, registries, caller },
      ...{ contexts: deps.contexts, content: deps.content, remotes: deps.remotes },
      fileDigests: (identity) => caches.files(identity),
      archives: store.statCache.open('archives of outputs', { spare: SPARE_ARCHIVES }),
      walk: (asked) => newWalk(deps, owner, asked),
      async flush() {
        caches.save()
        await store.flush()
      },
      collect: async () => (await import('../store/auto-collect.ts')).autoCollect(store),
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** The store in any case: nothing else gives the lease back while the process lives. */
async function closeAll(secrets: Secrets, registries: Registries, store: Store): Promise<void> {
  try {
    secrets.close()
    await registries.close()
  } finally {
    await store.close()
  }
}

interface WalkOwner extends Pick<WalkDeps, 'onEvent' | 'signal'> {
  readonly store: Pick<Store, 'cache' | 'locks'>
  readonly slots: Slots
}

function newWalk(deps: WalkedWith, { store, slots, onEvent, signal }: WalkOwner, { silent = false, ...asked }: WalkOptions = {}): Walk {
  const { watcher, imported, refused } = asked
  const cache = new StoreSteps({ ...deps, cache: store.cache })
  const worker = new LocalWorker(deps, slots)
  const own = { cache, worker, keys: deps, layers: deps.layers, locks: store.locks }
  return new Walk({ ...own, watcher, imported, refused, onEvent: silent ? () => {} : onEvent, signal })
}

/** What a context is made of is no context. */
const NO_CONTEXTS: WalkedWith['contexts'] = {
  files: () => Promise.reject(new Error('a context is loaded from another')),
}

/** buildx hands the caller's agent on by itself when the context is a repository over ssh. */
function isOverSsh(context: string): boolean {
  return /^ssh:\/\//i.test(context) || /^[\w-]+@[^/]*:/.test(context)
}

/** The digest caches that this build opened, to be written once at its end. */
class StatCaches {
  readonly #store: Store
  readonly #open = new Map<string, StatCacheFile>()
  readonly #files = new Map<string, FileDigests>()

  constructor(store: Store) {
    this.#store = store
  }

  open(name: string, spare?: number): StatCacheFile {
    const file = this.#open.get(name) ?? this.#store.statCache.open(name, spare === undefined ? {} : { spare })
    this.#open.set(name, file)
    return file
  }

  files(identity: string): FileDigests {
    const file = this.#files.get(identity) ?? this.#store.fileDigests(identity)
    this.#files.set(identity, file)
    return file
  }

  forContent() {
    return {
      memo: this.open('content of snapshots'),
      files: (identity: string) => this.files(identity),
      trees: (identity: string) => this.open(`trees of ${identity}`, SPARE_TREES),
    }
  }

  save(): void {
    for (const file of this.#open.values()) file.save()
    for (const file of this.#files.values()) file.save()
  }
}

/** Digests of trees that are kept although a build did not ask for them: those of other Dockerfiles, and of what they were before. */
const SPARE_TREES = 64

import type { Digest } from '../base/digest.ts'
import type { OnEvent } from '../base/events.ts'
import type { ContextFiles } from '../context/contexts.ts'
import type { Op } from '../graph/op.ts'
import type { BlobForm, LayerCatalog } from '../layers/types.ts'
import type { Sandbox } from '../sandbox/types.ts'
import type { Snapshotter } from '../snapshot/types.ts'
import type { CacheMounts } from '../store/cache-mounts.ts'
import type { KeyPart, Snapshot } from '../store/types.ts'
import type { Limits } from '../values/limits.ts'
import type { ContentHasher } from './content.ts'
import type { Ref, ViewDeps } from './ref.ts'
import type { Remotes } from './remotes.ts'

/**
 * How each kind of op is keyed and run, and what the walk must know of it. An op's output is a Ref: a root file system, or files of the outside that
 * later ops read.
 *
 *   key   the named parts that decide the output besides the root's key: a positive list; secret values never
 *   run   makes the output; called only when no record has the key
 */
export interface OpHandler<O extends Op, ToKey = KeyDeps, ToRun = StepDeps> {
  /** Sources that are what they name have none, and no record: those who read them are keyed by the content. */
  readonly key?: (op: O, inputs: readonly Ref[], deps: ToKey, io: StepIo) => Promise<KeyPart[]>
  readonly run: (op: O, step: StepInputs, deps: ToRun, io: StepIo) => Promise<Ref>
  /** What stands for an op without a key in the key of the step that is put on it. */
  readonly asRoot?: (op: O) => RootPart
  /** Tells of itself when somebody needs its files, not when it is solved. */
  readonly deferred?: true
  /** The key is known when a server has been asked: work to be shown, but no step of the Dockerfile. */
  readonly remote?: true
  /** The layer does not depend on what it is put on: its record holds that one layer. */
  readonly independent?: (op: O) => boolean
  /** Positions of inputs that it may end without: it fetches them when it comes to that. */
  readonly optionalInputs?: (op: O) => readonly number[]
}

/**
 * What a step is put on, as the part `root` of its key: null for scratch, `{image: manifest digest}` for a base, otherwise the digest of the key of the
 * step below, with all that is below that.
 */
export type RootPart = null | { readonly image: Digest } | Digest

interface StepInputs {
  /** The root file system that the op changes; empty is scratch. */
  readonly root: Snapshot
  readonly inputs: readonly Ref[]
  /** An output wants the layer as such a blob, and nobody in the build reads its files: it needs no directory. */
  readonly wanted?: BlobForm | undefined
}

/** The one step that is keyed or run: its name in events, what stops it, who hears of it. */
export interface StepIo {
  /** Its id in the graph. */
  readonly vertex: string
  readonly signal: AbortSignal
  readonly emit: OnEvent
}

/** To make a layer. */
export interface LayerDeps extends ViewDeps {
  readonly snapshots: Pick<Snapshotter, 'prepare' | 'commit' | 'discard'>
}

export interface ContentDeps {
  readonly content: Pick<ContentHasher, 'digest'>
}

export interface CopyDeps extends LayerDeps {
  readonly layers: Pick<LayerCatalog, 'add' | 'directories'>
  readonly limits: Pick<Limits, 'unpack'>
}

export interface ExecKeyDeps extends ContentDeps {
  readonly secrets: Pick<SecretProvider, 'withholds'>
}

export interface ExecDeps extends LayerDeps {
  readonly sandbox: Sandbox
  readonly cacheMounts: Pick<CacheMounts, 'acquire'>
  /** New cache mounts without uid and gid belong to the RUN's user, and are apart from those of others; otherwise to 0:0 (M6). */
  readonly cacheMountOwner: 'user' | undefined
  readonly secrets: SecretProvider
}

/** To ask what a URL or a repository is now. */
export interface RemoteKeyDeps {
  readonly remotes: Pick<Remotes, 'file' | 'commit'>
}

export interface RemoteDeps extends LayerDeps {
  readonly remotes: Pick<Remotes, 'file' | 'placeFile' | 'commit' | 'checkout'>
}

export interface ImageDeps {
  readonly remotes: Pick<Remotes, 'image'>
}

export interface ContextDeps {
  readonly contexts: ContextProvider
}

/** What the keys of all kinds take. */
export type KeyDeps = ViewDeps & ExecKeyDeps & RemoteKeyDeps

/** What all kinds together take: made once a build. A handler sees what it declares. */
export type StepDeps = KeyDeps & CopyDeps & ExecDeps & RemoteDeps & ImageDeps & ContextDeps

/** Opens the build context and named ones, each when an op first asks for it. */
interface ContextProvider {
  files(name: string): Promise<ContextFiles>
}

export interface SecretProvider {
  /** Undefined when the caller gave none of that id, or none to such an asker. */
  secret(id: string, asker: Asker): Promise<Uint8Array | undefined>
  /** What the asker may not have, whether the caller gave it or not. */
  withholds(kind: 'secret' | 'ssh', asker: Asker): boolean
  /** Path of a listening agent socket. */
  ssh(id: string, asker: Asker): Promise<string | undefined>
}

/** Who asks for a secret: with `triggerOf` the ONBUILD trigger of that image, which gets what the caller allows it. */
export interface Asker {
  readonly triggerOf?: string
}

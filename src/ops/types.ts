import type { Digest } from '../base/digest.ts'
import type { OnEvent } from '../base/events.ts'
import type { ContextFiles } from '../context/contexts.ts'
import type { Op } from '../graph/op.ts'
import type { BaseLayers } from '../image/base-layers.ts'
import type { Sandbox } from '../sandbox/types.ts'
import type { Snapshotter } from '../snapshot/types.ts'
import type { CacheMounts } from '../store/cache-mounts.ts'
import type { KeyPart, Snapshot } from '../store/types.ts'
import type { Limits } from '../values/limits.ts'
import type { ContentHasher } from './content.ts'
import type { Ref } from './ref.ts'
import type { Remotes } from './remotes.ts'

/**
 * How each kind of op is keyed and run, and what the walk must know of it. An op's output is a Ref: a root file system, or files of the outside that
 * later ops read.
 *
 *   key   the named parts that decide the output besides the root's key: a positive list; secret values never
 *   run   makes the output; called only when no record has the key
 */
export interface OpHandler<O extends Op> {
  /** Sources that are what they name have none, and no record: those who read them are keyed by the content. */
  readonly key?: (op: O, inputs: readonly Ref[], tools: Tools) => Promise<KeyPart[]>
  readonly run: (op: O, step: StepInputs, tools: Tools) => Promise<Ref>
  /** What stands for an op without a key in the key of the step that is put on it. */
  readonly asRoot?: (op: O) => RootPart
  /** Tells of itself when somebody needs its files, not when it is solved. */
  readonly deferred?: true
  /** The key is known when a server has been asked: work to be shown, but no step of the Dockerfile. */
  readonly remote?: true
  /** The layer does not depend on what it is put on: its record holds that one layer. */
  readonly independent?: (op: O) => boolean
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
}

/** What an op may use; everything with an effect. */
export interface Tools {
  readonly snapshots: Snapshotter
  readonly baseLayers: BaseLayers
  readonly content: ContentHasher
  readonly sandbox: Sandbox
  readonly cacheMounts: CacheMounts
  /** New cache mounts without uid and gid belong to the RUN's user, and are apart from those of others; otherwise to 0:0 (M6). */
  readonly cacheMountOwner?: 'user'
  readonly remotes: Remotes
  readonly contexts: ContextProvider
  readonly secrets: SecretProvider
  readonly limits: Limits
  readonly signal: AbortSignal
  /** Output of the vertex that runs. */
  readonly vertex: string
  readonly emit: OnEvent
}

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

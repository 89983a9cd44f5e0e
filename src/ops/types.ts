import type { OnEvent } from '../base/events.ts'
import type { ContextFiles } from '../context/contexts.ts'
import type { Op } from '../graph/op.ts'
import type { BaseLayers } from '../image/base-layers.ts'
import type { Sandbox } from '../sandbox/types.ts'
import type { Snapshotter } from '../snapshot/types.ts'
import type { CacheMounts } from '../store/cache-mounts.ts'
import type { KeyPart, Snapshot } from '../store/types.ts'
import type { ContentHasher } from './content.ts'
import type { Ref } from './ref.ts'
import type { Remotes } from './remotes.ts'

/**
 * How each kind of op is keyed and run. An op's output is a Ref: a root file system, or files of the outside that later ops read.
 *
 *   key   the named parts that decide the output besides the root's key: a positive list; secret values never
 *   run   makes the output; called only when no record has the key
 */
export interface OpHandler<O extends Op> {
  /** Sources have none: those who read them are keyed by the content. */
  readonly key?: (op: O, inputs: readonly Ref[], tools: Tools) => Promise<KeyPart[]>
  readonly run: (op: O, step: StepInputs, tools: Tools) => Promise<Ref>
}

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
  readonly allow: readonly string[]
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
  /** Undefined when the caller gave none of that id. */
  secret(id: string): Promise<Uint8Array | undefined>
  /** Path of a listening agent socket. */
  ssh(id: string): Promise<string | undefined>
}

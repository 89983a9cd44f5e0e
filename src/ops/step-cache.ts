import type { Digest } from '../base/digest.ts'
import type { Vertex } from '../graph/op.ts'
import type { LayerSource } from '../layers/types.ts'
import type { KeyPart, Snapshot } from '../store/types.ts'
import type { Ref } from './ref.ts'

/** A cache key with what it was made of, so that a miss can be explained by comparing parts. */
export interface StepKey {
  readonly digest: Digest
  readonly parts: readonly KeyPart[]
}

/** What caches are asked for. */
export interface WantedStep {
  readonly vertex: Vertex
  /** Undefined when it cannot be known before something ran or was fetched. */
  readonly key: StepKey | undefined
  /** What the steps below have made by now, whose files may be read to find the step by them. Without it nothing that a step made is looked at. */
  readonly made: ((vertex: Vertex) => Ref | undefined) | undefined
}

/** A step that need not run: its layers, as a record has them. */
export interface FoundStep {
  /** The whole root file system; of a layer that does not depend on what it is put on, that layer alone. */
  readonly layers: Snapshot
  /** Some of the layers are no directories yet: whoever needs the files has them fetched or unpacked. */
  readonly pending?: boolean
  /** Who offers them. */
  readonly source?: LayerSource
  /** Its key is new, but an earlier build did the same to the same files. */
  readonly sameFiles?: boolean
}

/** Where steps are found that need not run. */
interface StepCache {
  lookup(step: WantedStep, signal: AbortSignal): Promise<FoundStep | undefined>
}

/** Caches that other builds left, with layers that they only claim to have. */
export interface ImportedSteps extends StepCache {
  /** The source gave a layer that cannot be used: it is not asked any more, nor are its layers offered. */
  withdraw(source: LayerSource, problem: string): void
}

export interface DoneStep {
  readonly vertex: Vertex
  readonly key: StepKey
  /** The root file system that it made. */
  readonly layers: Snapshot
}

/** One that takes what a walk has made. Those of others take it whole, after the build (--cache-to). */
export interface KeepingStepCache extends StepCache {
  /** Gives it as it is found from now on. */
  keep(step: DoneStep): Promise<FoundStep>
}

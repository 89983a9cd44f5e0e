import type { Vertex } from '../graph/op.ts'
import type { Ref } from '../ops/ref.ts'
import type { Snapshot } from '../store/types.ts'
import type { StepKey } from './key.ts'

/** A step that need not run: its layers, as a record has them. */
export interface FoundStep {
  readonly layers: Snapshot
  /** Some of the layers are not in this store: whoever needs the files fetches them. */
  readonly elsewhere?: boolean
  /** Its key is new, but an earlier build did the same to the same files. */
  readonly sameFiles?: boolean
}

/** Caches that other builds left (src/cache), asked for steps that the store has no record of. */
export interface ImportedSteps {
  /** `solved`: what the steps below have made by now, whose files may be read to find the step by them. Without it only files of the caller are. */
  find(vertex: Vertex, solved?: (vertex: Vertex) => Ref | undefined): Promise<FoundStep | undefined>
}

/** A step with its key. */
export interface KeyedStep {
  readonly vertex: Vertex
  readonly key: StepKey
  /** What it is put on, once that is solved. */
  readonly root: Snapshot | undefined
}

export interface DoneStep {
  readonly vertex: Vertex
  readonly key: StepKey
  /** The root file system that it made. */
  readonly layers: Snapshot
}

/** Where steps are found, and kept for later. */
export interface StepCache {
  lookup(step: KeyedStep, signal: AbortSignal): Promise<FoundStep | undefined>
  /** Gives it as it is found from now on. */
  keep(step: DoneStep): Promise<FoundStep>
}

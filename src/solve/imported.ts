import type { Vertex } from '../graph/op.ts'
import type { Ref } from '../ops/ref.ts'
import type { Snapshot } from '../store/types.ts'

/** A step that need not run: its layers, as a record has them. */
export interface FoundStep {
  readonly layers: Snapshot
  /** Some of the layers are not in this store: whoever needs the files fetches them. */
  readonly elsewhere?: boolean
}

/** Caches that other builds left (src/cache), asked for steps that the store has no record of. */
export interface ImportedSteps {
  /** `solved`: what the steps below have made by now, whose files may be read to find the step by them. Without it only files of the caller are. */
  find(vertex: Vertex, solved?: (vertex: Vertex) => Ref | undefined): Promise<FoundStep | undefined>
}

import type { Op } from '../graph/op.ts'
import type { BlobForm } from '../layers/types.ts'
import type { Ref } from '../ops/ref.ts'
import type { StepIo } from '../ops/types.ts'
import type { Snapshot } from '../store/types.ts'

/** An op with all that it is put on and takes from. */
export interface StepRequest {
  readonly op: Op
  /** The root file system that the op changes; empty is scratch. */
  readonly root: Snapshot
  readonly inputs: readonly Ref[]
  /** The form of the blob that an output wants, where nobody in the build reads the layer's files. */
  readonly wanted?: BlobForm | undefined
}

export interface WorkerIo extends StepIo {
  /** It has its slot and the files that it needs. */
  readonly onStart: () => void
}

/** Who runs ops. */
export interface Worker {
  /** Waits for a slot; only for that: all that the step needs is there or can be fetched. */
  run(step: StepRequest, io: WorkerIo): Promise<Ref>
}

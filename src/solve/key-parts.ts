import type { Vertex } from '../graph/op.ts'
import { withoutLogins } from '../ops/redacted.ts'
import type { Ref } from '../ops/ref.ts'
import { handlerOf } from '../ops/table.ts'
import type { KeyDeps, StepIo } from '../ops/types.ts'
import type { KeyPart } from '../store/types.ts'

/** All of a vertex's key but the root, read from what it takes from. */
export async function readParts(vertex: Vertex, inputs: readonly Ref[], deps: KeyDeps, io: StepIo): Promise<readonly KeyPart[]> {
  const parts = (await handlerOf(vertex.op).key?.(vertex.op, inputs, deps, io)) ?? []
  return parts.map(withoutLogins)
}

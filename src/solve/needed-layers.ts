import type { Vertex } from '../graph/op.ts'
import type { Ref } from '../ops/ref.ts'
import { handlerOf } from '../ops/table.ts'
import type { Snapshot } from '../store/types.ts'
import { isIndependent } from './vertex-kinds.ts'

/** The layers that have to be there before a step begins. */
export function neededLayers(vertex: Vertex, inputs: readonly Ref[], root: Snapshot): Snapshot {
  const optional = handlerOf(vertex.op).optionalInputs?.(vertex.op) ?? []
  const read = inputs.flatMap((input, index) => (input.kind === 'snapshot' && !optional.includes(index) ? input.layers : []))
  return [...(isIndependent(vertex) ? [] : root), ...read]
}

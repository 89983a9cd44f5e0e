import { handlerOf } from '../ops/table.ts'
import type { Snapshot } from '../store/types.ts'
import type { StepRequest } from './worker.ts'

/** The layers that have to be there before a step begins. */
export function neededLayers({ op, root, inputs }: StepRequest): Snapshot {
  const { optionalInputs, independent } = handlerOf(op)
  const optional = optionalInputs?.(op) ?? []
  const read = inputs.flatMap((input, index) => (input.kind === 'snapshot' && !optional.includes(index) ? input.layers : []))
  return [...(independent?.(op) === true ? [] : root), ...read]
}

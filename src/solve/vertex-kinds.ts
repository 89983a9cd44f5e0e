import type { Vertex } from '../graph/op.ts'
import { handlerOf } from '../ops/table.ts'

/** What the walk wants to know of a vertex, by its op. */

/** Without a record: what it names is what it is. */
export function isSource({ op }: Vertex): boolean {
  return handlerOf(op).key === undefined
}

export function isRemote({ op }: Vertex): boolean {
  return handlerOf(op).remote === true
}

export function isIndependent({ op }: Vertex): boolean {
  return handlerOf(op).independent?.(op) === true
}

/** What it stands on and what it takes from. */
export function belowOf({ root, inputs }: Vertex): readonly Vertex[] {
  return root === undefined ? inputs : [root, ...inputs]
}

/** Names of the contexts whose files it reads: somebody may change them at any time. */
export function contextsOf({ inputs }: Vertex): string[] {
  return inputs.flatMap(({ op }) => (op.kind === 'context' ? op.name : []))
}

import type { Vertex } from './op.ts'

/** What a vertex, or the step of one, stands on and what it takes from. */
export function belowOf<T>({ root, inputs }: { readonly root?: T | undefined; readonly inputs: readonly T[] }): readonly T[] {
  return root === undefined ? inputs : [root, ...inputs]
}

/** Names of the contexts whose files it reads: somebody may change them at any time. */
export function contextsOf({ inputs }: Vertex): string[] {
  return inputs.flatMap(({ op }) => (op.kind === 'context' ? op.name : []))
}

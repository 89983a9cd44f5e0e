import type { Vertex } from './op.ts'

/** What it stands on and what it reads. */
export function belowOf({ root, inputs }: Vertex): readonly Vertex[] {
  return root === undefined ? inputs : [root, ...inputs]
}

/** Names of the contexts whose files it reads: somebody may change them at any time. */
export function contextsOf({ inputs }: Vertex): string[] {
  return inputs.flatMap(({ op }) => (op.kind === 'context' ? op.name : []))
}

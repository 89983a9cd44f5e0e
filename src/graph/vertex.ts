import type { Vertex } from './op.ts'

/** Names of the contexts whose files it reads: somebody may change them at any time. */
export function contextsOf({ inputs }: Vertex): string[] {
  return inputs.flatMap(({ op }) => (op.kind === 'context' ? op.name : []))
}

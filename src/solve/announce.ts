import type { OnEvent } from '../base/events.ts'
import type { Vertex } from '../graph/op.ts'
import { VertexDigests, type VertexName } from '../graph/vertex-digests.ts'

/** Reports all vertices, before anything is said of one; inputs stand before those who need them. Digests are made when somebody reads one: a display does not. */
export function announce(vertices: readonly Vertex[], onEvent: OnEvent): void {
  let digests: VertexDigests | undefined
  const nameOf = (vertex: Vertex): VertexName => {
    if (digests === undefined) {
      digests = new VertexDigests()
      // From the bottom: a chain may be long.
      for (const each of vertices) digests.of(each)
    }
    return digests.of(vertex)
  }
  for (const vertex of vertices) {
    const { id, name, stage, span } = vertex
    onEvent({
      type: 'vertex',
      id,
      get digest() {
        return nameOf(vertex).digest
      },
      get inputs() {
        return nameOf(vertex).inputs
      },
      name,
      ...(stage === undefined ? {} : { stage }),
      ...(span === undefined ? {} : { span }),
    })
  }
}

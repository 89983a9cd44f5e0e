import type { OnEvent } from '../base/events.ts'
import type { Vertex } from '../graph/op.ts'
import { VertexDigests } from '../graph/vertex-digests.ts'

/** Reports all vertices, before anything is said of one; inputs stand before those who need them. Digests are made when somebody reads one: a display does not. */
export function announce(vertices: readonly Vertex[], onEvent: OnEvent): void {
  const digests = new VertexDigests()
  for (const vertex of vertices) {
    const { id, name, stage, span } = vertex
    onEvent({
      type: 'vertex',
      id,
      get digest() {
        return digests.of(vertex).digest
      },
      get inputs() {
        return digests.of(vertex).inputs
      },
      name,
      ...(stage === undefined ? {} : { stage }),
      ...(span === undefined ? {} : { span }),
    })
  }
}

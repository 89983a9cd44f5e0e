import type { OnEvent } from '../base/events.ts'
import type { Graph } from '../graph/lower.ts'

/** Tells of all vertices, before anything is said of one. */
export function announce(graph: Graph, onEvent: OnEvent): void {
  for (const { id, name, stage, span } of graph.vertices) {
    onEvent({ type: 'vertex', id, name, ...(stage === undefined ? {} : { stage }), ...(span === undefined ? {} : { span }) })
  }
}

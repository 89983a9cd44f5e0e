import { maskUrls } from '../base/mask-url.ts'
import type { Span } from '../base/span.ts'
import type { Op, Vertex } from './op.ts'

interface VertexDetails {
  readonly op: Op
  readonly root?: Vertex | undefined
  readonly inputs?: readonly Vertex[]
  readonly name: string
  readonly stage?: string | undefined
  readonly span?: Span
  readonly step: string
  readonly description?: string | undefined
  readonly noCache?: boolean
  readonly copyOf?: Vertex | null
}

/** The texts of a vertex, without the logins of URLs: they are shown, and kept in records. */
export function maskedTexts<T extends Pick<Vertex, 'name' | 'step'>>(vertex: T): T {
  return { ...vertex, name: maskUrls(vertex.name), step: maskUrls(vertex.step) }
}

/** Makes vertices in an order in which inputs come before those who read them. Equal sources are one vertex. */
export class GraphBuilder {
  readonly vertices: Vertex[] = []
  readonly #prefix: string
  readonly #shared = new Map<string, Vertex>()

  /** `prefix` tells the ids of several graphs of one build apart. */
  constructor(prefix = '') {
    this.#prefix = prefix
  }

  add(details: VertexDetails): Vertex {
    const { root, inputs = [], stage, span, description, ...rest } = details
    const vertex: Vertex = {
      ...maskedTexts(rest),
      id: `${this.#prefix}${this.vertices.length + 1}`,
      root,
      inputs,
      noCache: details.noCache === true || root?.noCache === true,
      ...(stage === undefined ? {} : { stage }),
      ...(span === undefined ? {} : { span }),
      ...(description === undefined ? {} : { description: maskUrls(description) }),
    }
    this.vertices.push(vertex)
    return vertex
  }

  /** A source under a key: made at the first asking. */
  shared(key: string, details: VertexDetails): Vertex {
    let vertex = this.#shared.get(key)
    if (vertex === undefined) {
      vertex = this.add(details)
      this.#shared.set(key, vertex)
    }
    return vertex
  }
}

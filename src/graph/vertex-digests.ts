import { type Digest, sha256 } from '../base/digest.ts'
import { bottomUp } from '../base/long-chains.ts'
import { maskUrls } from '../base/mask-url.ts'
import { looksSecret } from '../values/secret-name.ts'
import type { Op, Vertex } from './op.ts'
import { belowOf } from './vertex.ts'

/** A vertex and what it needs, as they are called in events. */
export interface VertexName {
  readonly digest: Digest
  /** Of its root and its inputs. */
  readonly inputs: readonly Digest[]
}

/**
 * What vertices are called, as BuildKit's digest of a vertex: by the op and the vertices that it needs, so that the same work on the same has the same name, in
 * another build, too. Everybody sees the name: no secret or login is a part of it, not even hashed; several of one build are told apart by their order.
 */
export class VertexDigests {
  readonly #names = new Map<Vertex, VertexName>()
  readonly #hidden = new Map<string, number>()

  of(vertex: Vertex): VertexName {
    for (const each of bottomUp(vertex, belowOf, this.#names)) this.#names.set(each, this.#name(each))
    return this.#names.get(vertex) as VertexName
  }

  #name(vertex: Vertex): VertexName {
    const digestOf = (below: Vertex) => (this.#names.get(below) as VertexName).digest
    const root = vertex.root && digestOf(vertex.root)
    const inputs = vertex.inputs.map(digestOf)
    const digest = sha256(this.#withoutUrls(JSON.stringify([this.#shown(vertex.op), root ?? null, inputs, vertex.noCache])))
    return { digest, inputs: [...new Set(root === undefined ? inputs : [root, ...inputs])] }
  }

  /** Members stand in the order in which lowering writes them. */
  #shown(op: Op): object {
    switch (op.kind) {
      case 'http':
      case 'git':
        return op.login === undefined ? op : { ...op, login: this.#number(op.login.reveal()) }
      case 'exec':
        return { ...op, proxyEnv: [], env: op.env.map((item) => this.#variable(item)) }
      default:
        return op
    }
  }

  #variable(item: string): string {
    const name = item.slice(0, item.indexOf('='))
    return looksSecret(name) ? `${name} ${this.#number(item)}` : item
  }

  /** Logins of URLs in commands, variables and heredocs. */
  #withoutUrls(text: string): string {
    const masked = maskUrls(text)
    return masked === text ? text : `${masked} ${this.#number(text)}`
  }

  /** The first is 1. */
  #number(secret: string): number {
    const number = this.#hidden.get(secret) ?? this.#hidden.size + 1
    this.#hidden.set(secret, number)
    return number
  }
}

import type { Digest } from '../../base/digest.ts'
import { newStack } from '../../base/long-chains.ts'
import { SharedWork } from '../../base/shared-work.ts'
import type { CacheConfig, ConfigRecord } from './cache-config.ts'
import type { Base, ContentRequest, Node, NodeInput } from './node.ts'
import { recordDigest } from './op-json.ts'

/** Gives the content hash of what an input reads; undefined when it is not to be had (now). */
export type ContentOf = (request: ContentRequest) => Promise<Digest | undefined>

/** Positions of records. */
type Positions = ReadonlySet<number>

const NONE: Positions = new Set()

/** Positions of the records of nodes, by the id of the node. */
export type FoundNodes = SharedWork<string, Positions>

interface Search {
  readonly contentOf: ContentOf
  readonly known: FoundNodes
}

/**
 * The records of one cache, asked for nodes of a build (solver/edge.go, as far as it looks for keys): a record stands for a node when it has its digest, and
 * for each input a link, with the same selector, to a record that stands for it, or to the digest of its content.
 */
export class RecordGraph {
  readonly #records: readonly ConfigRecord[]
  /** Records without inputs, by digest. */
  readonly #roots = new Map<Digest, number>()
  readonly #byDigest = new Map<Digest, number[]>()

  constructor({ records }: Pick<CacheConfig, 'records'>) {
    this.#records = records
    for (const [position, { digest, inputs }] of records.entries()) {
      const known = this.#byDigest.get(digest)
      if (inputs.length === 0) this.#roots.set(digest, position)
      else if (known === undefined) this.#byDigest.set(digest, [position])
      else known.push(position)
    }
  }

  /** The records that stand for a node, with their results. `known`: what was found with the same contents. */
  async find(node: Node, contentOf: ContentOf, known: FoundNodes = new SharedWork()): Promise<ConfigRecord[]> {
    const found = await this.#find(node, { contentOf, known })
    return [...found].map((position) => this.#records[position] as ConfigRecord)
  }

  #find(node: Base, search: Search): Promise<Positions> {
    return node === null ? Promise.resolve(NONE) : search.known.of(node.id, () => this.#search(node, search))
  }

  async #search(node: Node, search: Search): Promise<Positions> {
    await newStack()
    if (node.inputs.length === 0) {
      return new Set(node.records.flatMap((digest) => this.#roots.get(digest) ?? []))
    }
    let candidates = node.records.flatMap((digest) => this.#byDigest.get(digest) ?? [])
    candidates = candidates.filter((position) => this.#record(position).inputs.length === node.inputs.length)
    const pending: number[] = []
    const linked = new Map<number, Positions>()
    for (const [index, input] of node.inputs.entries()) {
      if (candidates.length === 0) return NONE
      const below = await this.#find(input.node, search)
      const direct = new Set(candidates.filter((position) => this.#links(position, index, input, below)))
      linked.set(index, direct)
      const byContent = input.content !== undefined
      if (byContent) pending.push(index)
      // What can only be found by its content stays a candidate until that is known.
      candidates = candidates.filter((position) => direct.has(position) || (byContent && this.#hasContent(position, index)))
    }
    for (const index of pending) {
      const direct = linked.get(index) ?? NONE
      if (candidates.every((position) => direct.has(position))) continue
      const digest = await search.contentOf((node.inputs[index] as NodeInput).content as ContentRequest)
      const root = digest === undefined ? undefined : this.#roots.get(recordDigest(digest, -1))
      candidates = candidates.filter((position) => direct.has(position) || (root !== undefined && this.#linksTo(position, index, root)))
    }
    return new Set(candidates)
  }

  #record(position: number): ConfigRecord {
    return this.#records[position] as ConfigRecord
  }

  #links(position: number, index: number, input: NodeInput, below: Positions): boolean {
    const wanted = input.selector ?? ''
    return (this.#record(position).inputs[index] ?? []).some(({ selector, link }) => selector === wanted && below.has(link))
  }

  #linksTo(position: number, index: number, root: number): boolean {
    return (this.#record(position).inputs[index] ?? []).some(({ selector, link }) => selector === '' && link === root)
  }

  #hasContent(position: number, index: number): boolean {
    return (this.#record(position).inputs[index] ?? []).some(
      ({ selector, link }) => selector === '' && this.#record(link).inputs.length === 0,
    )
  }
}

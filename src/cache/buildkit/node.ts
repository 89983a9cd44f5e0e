import { type Digest, sha256 } from '../../base/digest.ts'
import type { Vertex } from '../../graph/op.ts'
import { recordDigest } from './op-json.ts'

/**
 * A vertex of BuildKit's own graph (LLB), as far as its cache keys need it. One instruction is mostly one node, but a COPY --link is two and a heredoc adds one.
 *
 *   records    digests that records of the node have: one an op, two an image (its manifest and its layers), none where only content counts
 *   selector   of an input: which paths the op reads, part of the link to the input's own record
 *   content    of an input: what files the op reads, by which the op is found whatever made them
 */
export interface Node {
  /** Equal ops on equal inputs have the same: BuildKit passes an input once however often it is named. */
  readonly id: string
  readonly records: readonly Digest[]
  readonly inputs: readonly NodeInput[]
}

export interface NodeInput {
  readonly node: Node
  readonly selector?: Digest
  readonly content?: ContentRequest
}

/** The files of an input, to be hashed as BuildKit does. */
export interface ContentRequest {
  /** Whose files: a context, or a step's root file system. */
  readonly source: Vertex
  readonly selections: readonly Selection[]
}

/** BuildKit's opsutils.Selector. `path` '' is everything. */
export interface Selection {
  readonly path: string
  readonly followLinks?: boolean
  readonly wildcard?: boolean
  readonly include?: readonly string[]
  readonly exclude?: readonly string[]
}

/** A node, or nothing to stand on: scratch. */
export type Base = Node | null

/** The inputs of one op in the order in which they are first named, each once. */
export class Inputs {
  readonly nodes: Node[] = []

  /** Its position; -1 is scratch. */
  add(node: Base): number {
    if (node === null) return -1
    const known = this.nodes.findIndex(({ id }) => id === node.id)
    return known >= 0 ? known : this.nodes.push(node) - 1
  }
}

/** `identity`: what of the op its digests leave out, such as the folder that a file is copied from. */
export function opNode(digests: readonly Digest[], inputs: readonly NodeInput[] = [], identity = ''): Node {
  const records = digests.map((digest) => recordDigest(digest, 0))
  const links = inputs.map(({ node, selector = '' }) => [node.id, selector])
  return { id: sha256(JSON.stringify([records, links, identity])), records, inputs }
}

/** Files of the caller: their record is never found, for BuildKit gives them a random one in each session. */
export function localNode(name: string): Node {
  return { id: `local ${name}`, records: [], inputs: [] }
}

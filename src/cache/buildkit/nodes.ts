import type { Digest } from '../../base/digest.ts'
import { newStack } from '../../base/long-chains.ts'
import { SharedWork } from '../../base/shared-work.ts'
import type { CopyOp, ExecOp, GitOp, HttpOp, ImageOp, Vertex } from '../../graph/op.ts'
import { execNode, type MountSource } from './exec-op.ts'
import { copyNode, type FileSource, workdirNode } from './file-op.ts'
import { type Base, localNode, type Node, opNode } from './node.ts'
import { digestOf } from './op-json.ts'
import { type FetchedUrl, gitNode, httpNode, type ImageIdentity, imageNode } from './source-op.ts'

/** What is known of sources besides their op. */
export interface NodeSources {
  image(op: ImageOp): ImageIdentity
  file(vertex: Vertex, op: HttpOp): Promise<FetchedUrl>
  commit(vertex: Vertex, op: GitOp): Promise<{ readonly commit: string; readonly ref?: string | undefined }>
}

/** The nodes of a vertex: `whole` makes its root file system, `layer` the layer of a COPY --link alone. */
export interface VertexNodes {
  readonly whole: Base
  readonly layer?: Node
}

/** Our graph as BuildKit's frontend would have made it from the same Dockerfile (frontend/dockerfile/dockerfile2llb). */
export class NodeGraph {
  readonly #sources: NodeSources
  readonly #known = new SharedWork<Vertex, VertexNodes>()

  constructor(sources: NodeSources) {
    this.#sources = sources
  }

  of(vertex: Vertex): Promise<VertexNodes> {
    return this.#known.of(vertex, () => this.#make(vertex))
  }

  async #make(vertex: Vertex): Promise<VertexNodes> {
    await newStack()
    const { op } = vertex
    switch (op.kind) {
      case 'image':
        return { whole: imageNode(this.#sources.image(op), op.platform) }
      case 'context':
        return { whole: localNode(op.name) }
      case 'http':
        return { whole: httpNode(op, await this.#sources.file(vertex, op)) }
      case 'git': {
        const { commit, ref } = await this.#sources.commit(vertex, op)
        return { whole: gitNode(op, commit, ref) }
      }
      case 'workdir':
        return { whole: workdirNode(op, await this.#root(vertex)) }
      case 'exec':
        return { whole: await this.#exec(vertex, op) }
      case 'copy':
        return this.#copy(vertex, op)
    }
  }

  async #root({ root }: Vertex): Promise<Base> {
    return root === undefined ? null : (await this.of(root)).whole
  }

  async #exec(vertex: Vertex, op: ExecOp): Promise<Node> {
    const sources = await Promise.all(vertex.inputs.map((input) => this.#mounted(input)))
    const nothing: MountSource = { node: null }
    return execNode(op, await this.#root(vertex), (mount) => (mount.input === undefined ? nothing : (sources[mount.input] ?? nothing)))
  }

  async #mounted(vertex: Vertex): Promise<MountSource> {
    const made = shownFiles(vertex)
    if (made === null) return { node: null }
    return { node: (await this.of(made)).whole, vertex: made }
  }

  async #copy(vertex: Vertex, op: CopyOp): Promise<VertexNodes> {
    const shown = shownFiles(vertex)
    if (shown !== vertex) return { whole: shown === null ? null : (await this.of(shown)).whole }
    const inputs = await Promise.all(vertex.inputs.map((input) => this.#source(input)))
    const scratch: FileSource = { node: null }
    const sources = op.sources.map((source) => (source.kind === 'content' ? undefined : (inputs[source.input] ?? scratch)))
    const base = await this.#root(vertex)
    if (!op.link) return { whole: copyNode(op, base, sources) }
    const layer = copyNode(op, null, sources)
    return { whole: base === null ? layer : mergeNode([base, layer]), layer }
  }

  async #source(vertex: Vertex): Promise<FileSource> {
    const made = shownFiles(vertex)
    if (made === null) return { node: null }
    const node = (await this.of(made)).whole
    // What was fetched for the step is known by what it is.
    return made.op.kind === 'http' || made.op.kind === 'git' ? { node } : { node, vertex: made }
  }
}

/** Lowering copies a context that is mounted or built on; in BuildKit's graph the context itself stands there. Null is nothing. */
export function shownFiles(vertex: Vertex): Vertex | null {
  return vertex.copyOf === undefined ? vertex : vertex.copyOf
}

/** solver/llbsolver/ops/merge.go. */
function mergeNode(nodes: readonly Node[]): Node {
  const inputs = nodes.map((_node, index) => (index === 0 ? {} : { input: index }))
  const digest: Digest = digestOf({ Type: 'buildkit.merge.v0', Merge: { inputs } })
  return opNode(
    [digest],
    nodes.map((node) => ({ node })),
  )
}

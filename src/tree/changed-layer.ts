import { type DeferredFile, type DeferredFiles, openDeferred, statOfDeferred } from './deferred-files.ts'
import { isWhiteout, KeyedNode, keyOf } from './node.ts'
import { joinKey, type Key } from './path.ts'
import { isOpaqueIn, type RawLayer, rawLayer } from './raw-layer.ts'
import type { Listing, TreeNode } from './types.ts'

/** A file that a layer has without being in its directory. */
class DeferredNode extends KeyedNode {
  readonly file: DeferredFile

  constructor(key: Key, file: DeferredFile) {
    super(key, 'file')
    this.file = file
  }

  protected override readStat() {
    return statOfDeferred(this.file)
  }
}

const NONE: ReadonlyMap<string, Buffer> = new Map()

/** A layer for who tells what it changes: what its directory has, whiteouts and opaque marks visible, and what was deferred. */
export class ChangedLayer {
  readonly #layer: RawLayer
  readonly #deferred: DeferredFiles | undefined

  constructor(upper: string, deferred?: DeferredFiles) {
    this.#layer = rawLayer(upper)
    this.#deferred = deferred
  }

  /** Only its directory may be read, and its directory is not all of it. */
  get isPartial(): boolean {
    return this.#deferred !== undefined
  }

  get root(): TreeNode {
    return this.#layer.root
  }

  /** In no order. */
  children(directory: TreeNode): TreeNode[] {
    const nodes: TreeNode[] = this.#layer.children(directory)
    const parent = keyOf(directory)
    for (const name of this.#deferred?.names(parent) ?? []) {
      const file = this.#deferred?.at(parent, name)
      if (file !== undefined) nodes.push(new DeferredNode(joinKey(parent, name), file))
    }
    return nodes
  }

  /** Of the directory alone: parents are always there. */
  parent(path: Buffer): TreeNode | undefined {
    return this.#layer.resolve(path)
  }

  isWhiteout(node: TreeNode): boolean {
    return (node.type === 'character' || node.type === 'socket') && isWhiteout(node.stat)
  }

  isOpaque(directory: TreeNode): boolean {
    return isOpaqueIn(this.#layer, directory)
  }

  readlink(node: TreeNode): Buffer {
    return this.#layer.readlink(node)
  }

  /** Of a deferred file there are none, or it is found out when it is read. */
  xattrs(node: TreeNode): ReadonlyMap<string, Buffer> {
    return node instanceof DeferredNode ? NONE : this.#layer.xattrs(node)
  }

  open(node: TreeNode): number {
    return node instanceof DeferredNode ? openDeferred(node.file, node.key) : this.#layer.open(node)
  }

  listing(node: TreeNode): Listing | undefined {
    return node instanceof DeferredNode ? node.file.from : this.#layer.listing(node)
  }

  inode(node: TreeNode): string {
    return this.#layer.inode(node)
  }

  close(): void {
    this.#layer.close()
  }
}

import type { TreeNode, TreeView } from '../tree/types.ts'

/** A file system's entry, and the path of the first name of its inode when it is a further one (a hard link). */
export interface WalkedNode {
  readonly node: TreeNode
  readonly linkTo: Buffer | undefined
}

/** All entries below the root, parents first, each directory's sorted by bytes. Sockets are left out: they have no form in a tar or an image (F24). */
export function* walkTree(view: TreeView): Generator<WalkedNode> {
  const linked = new Map<string, Buffer>()
  // A stack and not recursion: the depth of a tree is the image's to choose.
  const stack = view.children(view.root).reverse()
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (node.type === 'directory') stack.push(...view.children(node).reverse())
    if (node.type === 'socket') continue
    const inode = node.type !== 'directory' && node.stat.nlink > 1 ? view.inode(node) : undefined
    const first = inode === undefined ? undefined : linked.get(inode)
    if (inode !== undefined && first === undefined) linked.set(inode, node.path)
    yield { node, linkTo: first }
  }
}

/** A file system as it is exported: below a folder of its platform, or at the top. */
export interface ExportedTree {
  readonly view: TreeView
  /** `linux_amd64`; undefined is the top. */
  readonly folder: string | undefined
  /** Time of every entry, seconds, instead of its own: BuildKit sets it and does not clamp here. */
  readonly epoch: number | undefined
  /** Times of entries with their nanoseconds, which BuildKit's tar output does not have. */
  readonly nanoseconds?: boolean
}

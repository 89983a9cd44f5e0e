import { keyOf } from './node.ts'
import { resolveIn } from './resolve.ts'
import type { Selector } from './selection.ts'
import type { TreeNode, TreeView } from './types.ts'

/**
 * Where `path` really is, after the symlinks that lead there: what of a context must be present for the path to mean the same (fsutil's FollowLinks).
 * A path that does not exist stands as it is.
 */
export function linkedPaths(view: TreeView, path: string): Pick<Selector, 'path' | 'exact'>[] {
  const links: TreeNode[] = []
  const { node } = resolveIn(view, path, true, (link) => links.push(link))
  if (node === undefined) return [{ path }]
  return [...links, node].map((found) => ({ path: keyOf(found), exact: true }))
}

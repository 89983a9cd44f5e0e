import { TbuildError } from '../base/errors.ts'
import type { Name } from '../base/sys-values.ts'
import { components, type Key, latin1, shown } from './path.ts'
import type { TreeNode } from './types.ts'

/** As the kernel's limit is 40 and Go's (hence BuildKit's) 255. */
const MAX_LINKS = 255
/** PATH_MAX. */
const MAX_PATH = 4096
/** Components over all links: a chain of links each full of `a/../a/..` multiplies. */
const MAX_STEPS = 65536

/** What resolving needs of a view. */
export interface Walkable {
  readonly root: TreeNode
  child(directory: TreeNode, name: Key): TreeNode | undefined
  readlink(node: TreeNode): Buffer
}

export interface Resolution {
  /** The node, or undefined when a component is missing. */
  readonly node: TreeNode | undefined
  /** The deepest directory that exists on the way. */
  readonly parent: TreeNode
  /** Names below `parent` that do not exist (with the last one, when there is no node). Never `..`. */
  readonly missing: readonly Key[]
  /** A component that is neither a directory nor the last: nothing can be below it. */
  readonly obstacle?: TreeNode
}

/**
 * In-root resolution, component by component: absolute links start again at the root, `..` stops there. Components after a missing one are taken
 * lexically, as Go's continuity fs.RootPath does: the place where the path would be created. `onLink` is told of every symlink that is followed.
 */
export function resolveIn(view: Walkable, path: Name, follow: boolean, onLink?: (link: TreeNode) => void): Resolution {
  const text = latin1(path)
  if (text.length > MAX_PATH) throw new TbuildError('ENAMETOOLONG', `path too long: ${shown(text.slice(0, 100))}… (${text.length} bytes)`)
  const directories: TreeNode[] = [view.root]
  const pending = components(text).reverse()
  const missing: Key[] = []
  let links = 0
  let steps = 0
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (++steps > MAX_STEPS) throw tooManyLinks(text)
    if (name === '..') {
      if (missing.length > 0) missing.pop()
      else if (directories.length > 1) directories.pop()
      continue
    }
    const directory = directories.at(-1) as TreeNode
    const node = missing.length > 0 ? undefined : view.child(directory, name)
    if (node === undefined) missing.push(name)
    else if (node.type === 'directory') directories.push(node)
    else if (node.type === 'symlink' && (follow || pending.length > 0)) {
      if (++links > MAX_LINKS) throw tooManyLinks(text)
      onLink?.(node)
      const target = view.readlink(node).toString('latin1')
      if (target.startsWith('/')) directories.length = 1
      pending.push(...components(target).reverse())
    } else if (pending.length === 0) return { node, parent: directory, missing }
    else return { node: undefined, parent: directory, missing: [name], obstacle: node }
  }
  const parent = directories.at(-1) as TreeNode
  return { node: missing.length > 0 ? undefined : parent, parent, missing }
}

function tooManyLinks(path: Key): TbuildError {
  return new TbuildError('ELOOP', `too many levels of symbolic links: ${shown(path)}`)
}

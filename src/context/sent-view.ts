import { hasWildcard, splitWildcard } from '../base/go-match.ts'
import { cleanPath } from '../base/go-path.ts'
import { resolveIn } from '../tree/resolve.ts'
import { selectSources } from '../tree/selection.ts'
import type { Listing, TreeNode, TreeView } from '../tree/types.ts'

/**
 * A local context as BuildKit has it: only what the Dockerfile names is sent (K17), so that a directory in which no wildcard matches anything, and that
 * nothing else names, is not there: `COPY g/*.txt /d/` then fails, although matching nothing is no error in a directory that is (F8). `paths` are the
 * sources of all instructions.
 */
export function sentView(view: TreeView, paths: readonly string[]): TreeView {
  const wanted = paths.map((path) => cleanPath(`/${path.replace('/./', '/')}`).slice(1))
  const matters = wanted.some((path) => hasWildcard(path) && path.includes('/'))
  return matters && !wanted.includes('') ? new SentView(view, wanted) : view
}

class SentView implements TreeView {
  readonly #view: TreeView
  readonly #wanted: readonly string[]
  readonly #sent = new Map<string, boolean>()

  /** Where wildcards are looked for: elsewhere it makes no difference whether a path was sent. */
  readonly #bases: readonly string[]

  constructor(view: TreeView, wanted: readonly string[]) {
    this.#view = view
    this.#wanted = wanted
    this.#bases = wanted.filter(hasWildcard).map((path) => splitWildcard(path).base)
  }

  get root(): TreeNode {
    return this.#view.root
  }

  resolve(path: Uint8Array | string, options: { follow?: boolean } = {}): TreeNode | undefined {
    return resolveIn(this, path, options.follow === true).node
  }

  child(directory: TreeNode, name: Uint8Array | string): TreeNode | undefined {
    const node = this.#view.child(directory, name)
    return node === undefined || this.#isSent(node) ? node : undefined
  }

  children(node: TreeNode): TreeNode[] {
    return this.#view.children(node)
  }

  readlink(node: TreeNode): Buffer {
    return this.#view.readlink(node)
  }

  open(node: TreeNode): number {
    return this.#view.open(node)
  }

  xattrs(node: TreeNode): Map<string, Buffer> {
    return this.#view.xattrs(node)
  }

  listing(node: TreeNode): Listing | undefined {
    return this.#view.listing?.(node)
  }

  inode(node: TreeNode): string {
    return this.#view.inode(node)
  }

  #isSent(node: TreeNode): boolean {
    const path = node.path.toString()
    let sent = this.#sent.get(path)
    if (sent === undefined) {
      sent = !this.#bases.some((base) => isWithin(base, path)) || this.#wanted.some((wanted) => this.#leadsTo(wanted, path))
      this.#sent.set(path, sent)
    }
    return sent
  }

  /** Whether a source selects the path, something in it, or something above it. */
  #leadsTo(wanted: string, path: string): boolean {
    if (!hasWildcard(wanted)) return isWithin(wanted, path) || isWithin(path, wanted)
    try {
      const selected = selectSources(this.#view, { path: `/${wanted}`, parents: false, exclude: [] })
      return selected.some(({ node }) => isWithin(node.path.toString(), path) || isWithin(path, node.path.toString()))
    } catch {
      // The instruction itself reports what is wrong with its source.
      return false
    }
  }
}

/** `inner` is `outer` or below it. */
function isWithin(inner: string, outer: string): boolean {
  return inner === outer || outer === '' || inner.startsWith(`${outer}/`)
}

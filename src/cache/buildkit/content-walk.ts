import { GoPattern, splitWildcard } from '../../go/match.ts'
import { cleanPath } from '../../go/path.ts'
import { type MatchState, PatternMatcher } from '../../go/pattern-matcher.ts'
import { bytes, latin1 } from '../../tree/path.ts'
import type { TreeNode, TreeView } from '../../tree/types.ts'
import type { Selection } from './node.ts'

/** A file or directory header that counts, under the path by which it was asked for: latin1, with a leading slash. */
export interface IncludedNode {
  readonly node: TreeNode
  readonly path: string
}

interface Visited extends IncludedNode {
  included: boolean
  readonly include: MatchState | undefined
  readonly exclude: MatchState | undefined
}

/**
 * What wildcards, `--parents` and `--exclude` select (cache/contenthash/checksum.go, includedPaths): files and headers of directories in the order of a walk.
 * The header of a directory that is not selected itself counts when something in it is.
 */
export function includedNodes(view: TreeView, selection: Selection): IncludedNode[] {
  const walk = new Walk(view, selection)
  walk.run()
  return walk.found
}

class Walk {
  readonly found: IncludedNode[] = []
  readonly #view: TreeView
  readonly #path: string
  /** A source that ends in a slash, which is the root alone, has no header of its own. */
  readonly #isRoot: boolean
  readonly #pattern: GoPattern | undefined
  readonly #start: { readonly node: TreeNode | undefined; readonly path: string }
  readonly #include: PatternMatcher | undefined
  readonly #exclude: PatternMatcher | undefined
  readonly #above: Visited[] = []

  constructor(view: TreeView, { path, wildcard = false, include = [], exclude = [] }: Selection) {
    const whole = cleanPath(`/${path}`)
    this.#view = view
    this.#isRoot = whole === '/'
    this.#path = this.#isRoot ? '' : latin1(whole)
    this.#pattern = wildcard ? GoPattern.compile(whole) : undefined
    this.#start = wildcard ? startOf(view, whole) : { node: view.resolve(whole), path: this.#path }
    this.#include = include.length === 0 ? undefined : PatternMatcher.compile(include)
    this.#exclude = exclude.length === 0 ? undefined : PatternMatcher.compile(exclude)
  }

  run(): void {
    const { node, path } = this.#start
    if (node !== undefined) this.#visit(node, path, this.#pattern === undefined ? this.#path : undefined)
  }

  /** `base`: what patterns are relative to; undefined above the first match of the wildcard. */
  #visit(node: TreeNode, path: string, base: string | undefined): void {
    const from = base ?? (this.#pattern?.matches(bytes(path)) === true && path !== '' ? path : undefined)
    const isHidden = this.#isRoot && path === ''
    const visited = from === undefined || isHidden ? undefined : this.#consider(node, path, from)
    if (node.type !== 'directory') return
    if (visited !== undefined) this.#above.push(visited)
    for (const child of this.#view.children(node)) this.#visit(child, `${path}/${latin1(child.name)}`, from)
    if (visited !== undefined) this.#above.pop()
  }

  #consider(node: TreeNode, path: string, base: string): Visited {
    const above = this.#above.at(-1)
    const candidate = bytes(path.slice(base.length + 1))
    const include = this.#include?.step(candidate, above?.include)
    const wanted = include?.matched !== false
    const exclude = wanted ? this.#exclude?.step(candidate, above?.exclude) : undefined
    const visited: Visited = { node, path, included: wanted && exclude?.matched !== true, include, exclude }
    if (!visited.included) return visited
    for (const directory of this.#above) {
      if (!directory.included) this.found.push(directory)
      directory.included = true
    }
    this.found.push(visited)
    return visited
  }
}

/** The part before the first wildcard is resolved through links, and the last of it too when something follows. */
function startOf(view: TreeView, path: string): { node: TreeNode | undefined; path: string } {
  const { base, pattern } = splitWildcard(path)
  const clean = cleanPath(`/${base}`)
  if (clean === '/') return { node: view.root, path: '' }
  return { node: view.resolve(clean, { follow: pattern !== '' }), path: latin1(clean) }
}

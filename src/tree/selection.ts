import { TbuildError } from '../base/errors.ts'
import { GoPattern, hasWildcard, splitWildcard } from '../go/match.ts'
import { cleanPath } from '../go/path.ts'
import { type MatchState, PatternMatcher } from '../go/pattern-matcher.ts'
import { keyOf } from './node.ts'
import { bytes, isBelow, joinKey, type Key, latin1, nameOf, shown } from './path.ts'
import { resolveIn } from './resolve.ts'
import type { TreeNode, TreeView } from './types.ts'

/** Which files of a view an instruction reads. */
export interface Selector {
  /** Below the root; may hold wildcards of Go's filepath.Match, and with `parents` those of an ignore file and a `/./`. */
  readonly path: string
  readonly parents: boolean
  /** Patterns relative to the source, as in an ignore file. */
  readonly exclude: readonly string[]
  /** False: the path is taken as it is (a bind mount). */
  readonly wildcards?: boolean
  /** The path is a `Key`, and it alone is wanted, below the root with the directories that lead to it: no pattern, nor text. */
  readonly exact?: boolean
}

/** One source: what the path or one match of its wildcards stands for. */
export interface Selected {
  /** Symlinks followed (F9). */
  readonly node: TreeNode
  /** As it was written or matched: what a file is called at the destination. */
  readonly name: Key
  readonly filter: Filter
}

/** A path in a copied directory and the way that led to it. */
export interface Visit {
  readonly node: TreeNode
  /** Relative to the source. */
  readonly key: Key
  /** False for a directory that is walked only because something in it may be wanted. */
  readonly included: boolean
  readonly state: FilterState
}

export interface FilterState {
  readonly include: MatchState | undefined
  readonly exclude: MatchState | undefined
}

const START: FilterState = { include: undefined, exclude: undefined }

/** F22 and F23: what of a source directory is copied. */
export class Filter {
  readonly #include: PatternMatcher | undefined
  readonly #exclude: PatternMatcher | undefined
  readonly #only: Key | undefined

  constructor(include: readonly string[], exclude: readonly string[], only?: Key) {
    this.#only = only
    this.#include = include.length === 0 ? undefined : PatternMatcher.compile(include)
    this.#exclude = exclude.length === 0 ? undefined : PatternMatcher.compile(exclude)
  }

  get includes(): boolean {
    return this.#include !== undefined || this.#only !== undefined
  }

  /** Everything in a directory is wanted. */
  get takesAll(): boolean {
    return !this.includes && this.#exclude === undefined
  }

  /** What is wanted in a directory, sorted by bytes. */
  *children(view: TreeView, directory: TreeNode, key: Key, state: FilterState = START): Generator<Visit> {
    for (const node of view.children(directory)) {
      const path = joinKey(key, nameOf(keyOf(node)))
      if (this.#only !== undefined) {
        const included = path === this.#only || isBelow(path, this.#only)
        if (included || isBelow(this.#only, path)) yield { node, key: path, included, state }
        continue
      }
      if (this.#include === undefined && this.#exclude === undefined) {
        yield { node, key: path, included: true, state }
        continue
      }
      const raw = bytes(path)
      const include = this.#include?.step(raw, state.include)
      const exclude = this.#exclude?.step(raw, state.exclude)
      const excluded = exclude?.matched === true
      const included = include?.matched !== false && !excluded
      const enter = !excluded || (this.#exclude as PatternMatcher).mayReinclude(raw)
      if (included || (node.type === 'directory' && enter)) yield { node, key: path, included, state: { include, exclude } }
    }
  }
}

/** F8: a source without wildcards must exist. `ref` of BuildKit's message is an address that means nothing outside of it. */
function notFound(path: string): TbuildError {
  return new TbuildError('COPY_SOURCE_NOT_FOUND', `failed to calculate checksum: ${JSON.stringify(cleanPath(`/${path}`))}: not found`, {
    hint: 'check the path, that it lies in the build context or stage it is copied from, and that .dockerignore does not exclude it',
  })
}

/** F8: what a wildcard is looked for in must exist, although matching nothing is no error. */
function noDirectory(view: TreeView, base: string): TbuildError {
  const { parent, missing } = resolveIn(view, base, true)
  const path = shown(missing.reduce(joinKey, keyOf(parent)))
  return new TbuildError('COPY_SOURCE_NOT_FOUND', `lstat /${path}: no such file or directory`, {
    hint: 'a wildcard may match nothing, but the directory in front of it must exist and .dockerignore must not exclude it',
  })
}

/** The sources, in the order in which they are copied. */
export function selectSources(view: TreeView, selector: Selector): Selected[] {
  if (selector.exact === true) return selectExactly(view, selector.path)
  if (selector.parents) return selectParents(view, selector)
  const filter = new Filter([], selector.exclude)
  return match(view, selector.path, selector.wildcards !== false).map((found) => ({ ...found, filter }))
}

/**
 * F22: the part after `/./` is a pattern of wanted paths below the part before it. Only a relative one is cleaned, and one slash is taken off: as in
 * BuildKit, `.` and `//a` are patterns that match nothing.
 */
export function splitParents(path: string): { readonly base: string; readonly pattern: string } {
  const pivot = path.indexOf('/./')
  const base = pivot < 0 ? '/' : path.slice(0, pivot)
  const below = pivot < 0 ? path : path.slice(pivot + 3)
  return { base, pattern: (below.startsWith('/') ? below : cleanPath(`/${below}`)).slice(1) }
}

function selectParents(view: TreeView, { path, exclude }: Selector): Selected[] {
  const { base, pattern } = splitParents(path)
  const filter = new Filter([pattern], exclude)
  const sources = match(view, base, true)
  if (!hasWildcard(base) && !hasWildcard(pattern)) {
    const required = cleanPath(`/${base}/${cleanPath(`/${pattern}`)}`)
    if (view.resolve(required) === undefined) throw notFound(required)
  }
  return sources.map((found) => ({ ...found, filter }))
}

function selectExactly(view: TreeView, key: Key): Selected[] {
  if (view.resolve(bytes(key)) === undefined) throw notFound(shown(key))
  return [{ node: view.root, name: '', filter: new Filter([], [], key) }]
}

function match(view: TreeView, path: string, wildcards: boolean): { node: TreeNode; name: Key }[] {
  const { base, pattern, components } = wildcards
    ? splitWildcard(`/${path}`)
    : { base: cleanPath(`/${path}`), pattern: '', components: undefined }
  const start = view.resolve(base, { follow: true })
  if (pattern === '') {
    if (start === undefined) throw notFound(path)
    return [{ node: start, name: nameOf(latin1(base)) }]
  }
  if (start === undefined) throw noDirectory(view, base)
  if (start.type !== 'directory') return []
  const found = components === undefined ? walkWhole(view, start, GoPattern.compile(pattern)) : walkLevels(view, start, components)
  const followed = found.map((node) => ({ node: view.resolve(node.path, { follow: true }), name: nameOf(keyOf(node)) }))
  const dangling = followed.findIndex(({ node }) => node === undefined)
  if (dangling >= 0) throw notFound(bytes(keyOf(found[dangling] as TreeNode)).toString())
  return followed as { node: TreeNode; name: Key }[]
}

/** Level by level: only where a match can be. */
function walkLevels(view: TreeView, start: TreeNode, components: readonly string[]): TreeNode[] {
  let level = [start]
  for (const component of components) {
    const pattern = GoPattern.compile(component)
    level = level.flatMap((node) => (node.type === 'directory' ? view.children(node).filter((child) => pattern.matches(child.name)) : []))
  }
  return level
}

/** A class such as [^a] may match a slash: all paths are tried, those in a directory that matched are not. */
function walkWhole(view: TreeView, start: TreeNode, pattern: GoPattern): TreeNode[] {
  const found: TreeNode[] = []
  const pending = view.children(start).reverse()
  const cut = keyOf(start) === '' ? 0 : keyOf(start).length + 1
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (pattern.matches(bytes(keyOf(node).slice(cut)))) found.push(node)
    else if (node.type === 'directory') pending.push(...view.children(node).reverse())
  }
  return found
}

import { GoPattern, hasWildcard } from '../go/match.ts'
import { cleanPath } from '../go/path.ts'
import { type MatchState, PatternMatcher } from '../go/pattern-matcher.ts'
import { keyOf } from '../tree/node.ts'
import { isBelow, type Key, latin1, parentKey } from '../tree/path.ts'
import { resolveIn } from '../tree/resolve.ts'
import type { Listing, TreeNode, TreeView } from '../tree/types.ts'

/**
 * A local context as BuildKit has it: only what the Dockerfile names is sent (K17), so that a directory in which no wildcard matches anything, and that
 * nothing else names, is not there: `COPY g/*.txt /d/` then fails, although matching nothing is no error in a directory that is (F8). What is sent is told by
 * patterns of an ignore file, in which `**` is any number of directories, what is copied by filepath.Match, in which it is a part of one name: both must match.
 * `paths` are the sources of all instructions.
 */
export function sentView(view: TreeView, paths: readonly string[]): TreeView {
  const wanted = paths.map((path) => cleanPath(`/${path.replace('/./', '/')}`).slice(1))
  // Where neither a directory nor another reading of the pattern is in play, it makes no difference.
  const matters = wanted.some((path) => hasWildcard(path) && (path.includes('/') || /\*\*|\[|\\/.test(path)))
  if (!matters || wanted.includes('')) return view
  const patterns = followLinks(view, wanted)
  try {
    return patterns === undefined ? view : new SentView(view, patterns)
  } catch {
    // The instruction itself reports what is wrong with its source.
    return view
  }
}

class SentView implements TreeView {
  readonly #view: TreeView
  readonly #matcher: PatternMatcher
  /** Of each pattern what stands before its first wildcard. */
  readonly #prefixes: readonly string[]
  readonly #sent = new Map<string, boolean>()
  readonly #states = new Map<string, MatchState>()

  constructor(view: TreeView, patterns: readonly string[]) {
    this.#view = view
    this.#matcher = PatternMatcher.compile(patterns)
    this.#prefixes = patterns.map((pattern) => latin1(pattern.split(/\/?[^/]*[*?[\]^!\\]/, 1)[0] as string))
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

  children(directory: TreeNode): TreeNode[] {
    const nodes = this.#view.children(directory)
    const key = directory.path.toString('latin1')
    const all = key !== '' && !this.#matcher.hasExclusions && this.#state(key).matched
    return all ? nodes : nodes.filter((node) => this.#isSent(node))
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

  /** What a pattern matches, what is in it, and the directories that lead to it. */
  #isSent(node: TreeNode): boolean {
    const key = node.path.toString('latin1')
    let sent = this.#sent.get(key)
    if (sent === undefined) {
      sent = this.#state(key).matched || (node.type === 'directory' && this.#mayLead(node) && this.#leadsToSent(node))
      this.#sent.set(key, sent)
    }
    return sent
  }

  #state(key: string): MatchState {
    let state = this.#states.get(key)
    if (state === undefined) {
      const slash = key.lastIndexOf('/')
      state = this.#matcher.step(Buffer.from(key, 'latin1'), slash < 0 ? undefined : this.#state(key.slice(0, slash)))
      this.#states.set(key, state)
    }
    return state
  }

  #mayLead(directory: TreeNode): boolean {
    const key = directory.path.toString('latin1')
    return this.#prefixes.some((prefix) => isWithin(prefix, key) || isWithin(key, prefix))
  }

  /** A stack and no recursion: how deep a context is, its owner says. What is learnt on the way is kept, or a directory would be searched for each above it. */
  #leadsToSent(directory: TreeNode): boolean {
    const start = keyOf(directory)
    const searched: Key[] = []
    const pending = [directory]
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      searched.push(keyOf(next))
      for (const node of this.#view.children(next)) {
        const key = keyOf(node)
        if (this.#sent.get(key) ?? this.#state(key).matched) {
          for (let above = parentKey(key); isWithin(above, start); above = parentKey(above)) this.#sent.set(above, true)
          return true
        }
        if (node.type === 'directory' && this.#sent.get(key) !== false && this.#mayLead(node)) pending.push(node)
      }
    }
    for (const key of searched) this.#sent.set(key, false)
    return false
  }
}

/** `inner` is `outer` or below it. */
function isWithin(inner: string, outer: string): boolean {
  return inner === outer || isBelow(inner, outer)
}

/** fsutil's FollowLinks: the paths with the symlinks on their way and what those lead to, as patterns; undefined when all is wanted. */
function followLinks(view: TreeView, paths: readonly string[]): string[] | undefined {
  const found = new Set<string>()
  const pending = [...paths]
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const parts = path.split('/').filter((part) => part !== '')
    if (parts.length === 0) return undefined
    for (const at of parts.keys()) {
      const current = parts.slice(0, at + 1).join('/')
      const targets = linkTargets(view, current)
      if (targets.length === 0 && at < parts.length - 1) continue
      if (found.has(current)) break
      found.add(current)
      const rest = parts.slice(at + 1).join('/')
      pending.push(...targets.map((target) => cleanPath(`/${target}/${rest}`)))
      if (targets.length > 0) break
    }
  }
  return [...found].sort()
}

/** Where a symlink of that name leads, or those that its last wildcard matches; the directory before it is taken as it stands. */
function linkTargets(view: TreeView, path: string): string[] {
  const slash = path.lastIndexOf('/')
  const [folder, name] = [path.slice(0, Math.max(slash, 0)), path.slice(slash + 1)]
  const directory = view.resolve(folder)
  if (directory?.type !== 'directory') return []
  const one = hasWildcard(name) ? undefined : view.child(directory, name)
  const nodes = hasWildcard(name) ? view.children(directory).filter((node) => matches(name, node)) : one === undefined ? [] : [one]
  return nodes
    .filter(({ type }) => type === 'symlink')
    .map((node) => {
      const target = view.readlink(node).toString()
      return target.startsWith('/') ? target : `/${folder}/${target}`
    })
}

function matches(pattern: string, node: TreeNode): boolean {
  try {
    return GoPattern.parse(pattern).matches(node.name)
  } catch {
    return false
  }
}

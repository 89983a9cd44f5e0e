import { TimeSlice } from '../base/time-slice.ts'
import { keyOf } from './node.ts'
import { nameOf } from './path.ts'
import { isOpaqueIn, type RawLayer, rawLayer } from './raw-layer.ts'
import { sameBytes, sameContent } from './same-content.ts'
import type { TreeNode } from './types.ts'

/**
 * Whether two layer directories hold the same changes: names, types, modes, owners, sizes, links, attributes, bytes, whiteouts; not times (K8). What can be
 * seen without opening a file is compared first, so that different layers are told apart soon.
 */
export async function sameLayer(a: string, b: string, options: { signal?: AbortSignal } = {}): Promise<boolean> {
  const [left, right] = [rawLayer(a), rawLayer(b)]
  try {
    return await new Comparison(left, right, options.signal).run()
  } finally {
    left.close()
    right.close()
  }
}

type Pair = readonly [TreeNode, TreeNode]

class Comparison {
  readonly #left: RawLayer
  readonly #right: RawLayer
  readonly #slice: TimeSlice
  /** Inodes with several names, left to right and back: the names must be shared in the same way. */
  readonly #links = new Map<string, string>()

  constructor(left: RawLayer, right: RawLayer, signal: AbortSignal | undefined) {
    this.#left = left
    this.#right = right
    this.#slice = new TimeSlice(signal)
  }

  async run(): Promise<boolean> {
    const nodes: Pair[] = []
    const pending: Pair[] = [[this.#left.root, this.#right.root]]
    for (let pair = pending.pop(); pair !== undefined; pair = pending.pop()) {
      if (this.#slice.isOver()) await this.#slice.yield()
      if (!this.#sameMetadata(pair)) return false
      nodes.push(pair)
      if (pair[0].type !== 'directory') continue
      const below = this.#children(pair)
      if (below === undefined) return false
      pending.push(...below)
    }
    for (const pair of nodes) {
      if (this.#slice.isOver()) await this.#slice.yield()
      if (!this.#sameData(pair)) return false
    }
    return true
  }

  #sameMetadata([a, b]: Pair): boolean {
    const [left, right] = [a.stat, b.stat]
    if (a.type !== b.type || left.mode !== right.mode || left.uid !== right.uid || left.gid !== right.gid) return false
    if (left.rdevMajor !== right.rdevMajor || left.rdevMinor !== right.rdevMinor) return false
    if (a.type === 'directory') return true
    return left.size === right.size && left.nlink === right.nlink && (left.nlink === 1 || this.#sameLinks(a, b))
  }

  #sameLinks(a: TreeNode, b: TreeNode): boolean {
    const [left, right] = [`left ${this.#left.inode(a)}`, `right ${this.#right.inode(b)}`]
    const [toRight, toLeft] = [this.#links.get(left) ?? right, this.#links.get(right) ?? left]
    this.#links.set(left, toRight).set(right, toLeft)
    return toRight === right && toLeft === left
  }

  #children([a, b]: Pair): Pair[] | undefined {
    const [left, right] = [this.#left.children(a), this.#right.children(b)]
    if (left.length !== right.length) return undefined
    const pairs = left.map((node, index): Pair => [node, right[index] as TreeNode])
    return pairs.every(([one, other]) => nameOf(keyOf(one)) === nameOf(keyOf(other))) ? pairs : undefined
  }

  #sameData([a, b]: Pair): boolean {
    if (a.type === 'symlink' && !this.#left.readlink(a).equals(this.#right.readlink(b))) return false
    if (a.type === 'directory' && isOpaqueIn(this.#left, a) !== isOpaqueIn(this.#right, b)) return false
    if (!sameAttributes(this.#left.xattrs(a), this.#right.xattrs(b))) return false
    return a.type !== 'file' || a.stat.size === 0 || sameContent(this.#left.open(a), this.#right.open(b))
  }
}

function sameAttributes(a: ReadonlyMap<string, Buffer>, b: ReadonlyMap<string, Buffer>): boolean {
  return a.size === b.size && [...a].every(([name, value]) => sameBytes(value, b.get(name)))
}

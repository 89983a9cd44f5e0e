import { sys } from '../base/sys.ts'
import { DT_CHR, DT_SOCK } from '../base/sys-constants.ts'
import { LayerOwners } from '../store/layer-owners.ts'
import { DirectoryFds } from './directory-fds.ts'
import { isWhiteout, type NodeType, typeOfDirent, typeOfMode } from './node.ts'
import { isOpaque } from './opaque.ts'
import { joinKey, type Key } from './path.ts'

/** Chains, and layers of all of them, before those that were not used for longest are forgotten. */
const CHAINS = 256
const LAYERS = 16_384

/** One layer as a directory, which a view shows alone or with others. */
export class ViewLayer {
  readonly path: string
  readonly fds: DirectoryFds
  #owners: LayerOwners | undefined

  constructor(path: string) {
    this.path = path
    this.fds = DirectoryFds.at(path)
  }

  get owners(): LayerOwners {
    this.#owners ??= LayerOwners.of(this.path)
    return this.#owners
  }
}

/** What one layer has by a name. */
interface Entry {
  /** The number of layers below it. */
  readonly depth: number
  readonly type: NodeType | 'whiteout'
  /** Of a directory: the depth of the lowest layer that it is merged with, seen from this one down; undefined until somebody asks. */
  lowest: number | undefined
}

/** A directory of a chain: what its layers have in it. */
interface Merged {
  readonly key: Key
  /** What the layers have by its own name, bottom first; it grows as layers are put on top. */
  readonly own: readonly Entry[]
  /** Of `own`, those whose names are known. */
  listed: number
  readonly names: Map<Key, Entry[]>
}

/** What a view of the lowest so many layers of a chain shows by a name. */
export interface ChainPlace {
  readonly type: NodeType
  /** Depths of the layers that make it, top first. */
  depths(): readonly number[]
  readonly count: number
  readonly top: number
  /** Nothing below this depth counts for what is in it. */
  readonly lowest: number
}

/**
 * Layers that stand on one another, and where a name is found in them. A step looks for the same few names in all layers below it, so in a chain of steps each
 * would ask every layer again. Instead each directory that somebody asks for is listed once a layer, whatever number of views look: one view for each step, of
 * the layers up to it. Nothing changes in a layer that is complete, so nothing here gets old.
 */
export class LayerChain {
  /** Bottom first. */
  readonly layers: ViewLayer[] = []
  readonly #roots: Entry[] = []
  readonly #directories = new Map<Key, Merged>([['', { key: '', own: this.#roots, listed: 0, names: new Map() }]])

  /** Of the directories of complete layers in a store, bottom first: it may have more on top of them. */
  static of(directories: readonly string[]): LayerChain {
    const found = chains.find((chain) => chain.#takes(directories)) ?? new LayerChain()
    for (let depth = found.layers.length; depth < directories.length; depth += 1) found.#push(directories[depth] as string)
    remember(found)
    return found
  }

  /** For when the layers of a store are nobody's any more. */
  static forgetAll(): void {
    chains.length = 0
  }

  /** One begins with the other. */
  #takes(directories: readonly string[]): boolean {
    const common = Math.min(directories.length, this.layers.length)
    for (let depth = common - 1; depth >= 0; depth -= 1) if (this.layers[depth]?.path !== directories[depth]) return false
    return true
  }

  #push(path: string): void {
    this.#roots.push({ depth: this.layers.length, type: 'directory', lowest: undefined })
    this.layers.push(new ViewLayer(path))
  }

  /** The root directory of the lowest `height` layers. */
  root(height: number): ChainPlace {
    return this.#place({ key: '', entries: this.#roots, index: height - 1, floor: 0 })
  }

  /** By the rules of overlayfs: a whiteout hides what is below, only directories merge, an opaque one is the last. `floor`: the parent's `lowest`. */
  child(parent: Key, name: Key, { height, floor }: { height: number; floor: number }): ChainPlace | undefined {
    const entries = this.#listed(parent, height).names.get(name)
    if (entries === undefined) return undefined
    const index = lastBelow(entries, height)
    const entry = entries[index]
    if (entry === undefined || entry.depth < floor || entry.type === 'whiteout') return undefined
    return this.#place({ key: joinKey(parent, name), entries, index, floor })
  }

  #place({ key, entries, index, floor }: { key: Key; entries: readonly Entry[]; index: number; floor: number }): ChainPlace {
    const { depth, type } = entries[index] as Entry
    const lowest = type === 'directory' ? Math.max(floor, this.#lowest(entries, index, key)) : depth
    const first = lastBelow(entries, lowest) + 1
    return {
      type: type as NodeType,
      top: depth,
      lowest,
      count: index - first + 1,
      depths: () =>
        entries
          .slice(first, index + 1)
          .reverse()
          .map((entry) => entry.depth),
    }
  }

  #lowest(entries: readonly Entry[], index: number, key: Key): number {
    let at = index
    while (entries[at]?.lowest === undefined && entries[at - 1]?.type === 'directory' && !this.#isOpaque(entries[at] as Entry, key)) at -= 1
    const { lowest, depth } = entries[at] as Entry
    for (; at <= index; at += 1) (entries[at] as Entry).lowest = lowest ?? depth
    return lowest ?? depth
  }

  #isOpaque({ depth }: Entry, key: Key): boolean {
    return isOpaque((this.layers[depth] as ViewLayer).fds, key)
  }

  /** With the names that the lowest `height` layers have in it. */
  #listed(key: Key, height: number): Merged {
    const known = this.#directories.get(key)
    if (known !== undefined && isListed(known, height)) return known
    let directory = this.#list(this.#directories.get('') as Merged, height)
    if (key === '') return directory
    for (const name of key.split('/')) directory = this.#list(this.#below(directory, name), height)
    return directory
  }

  #below(parent: Merged, name: Key): Merged {
    const key = joinKey(parent.key, name)
    const made = this.#directories.get(key) ?? { key, own: entriesOf(parent, name), listed: 0, names: new Map() }
    this.#directories.set(key, made)
    return made
  }

  #list(directory: Merged, height: number): Merged {
    while (!isListed(directory, height)) {
      const { type, depth } = directory.own[directory.listed] as Entry
      if (type === 'directory') this.#listIn(directory, depth)
      directory.listed += 1
    }
    return directory
  }

  #listIn(directory: Merged, depth: number): void {
    const { fds } = this.layers[depth] as ViewLayer
    for (const { name, type: kind } of fds.list(directory.key)) {
      const certain = kind === DT_CHR || kind === DT_SOCK ? undefined : typeOfDirent(kind)
      const stat = certain === undefined ? sys().statat(fds.fd(directory.key), name) : undefined
      const type = stat === undefined ? (certain as NodeType) : isWhiteout(stat) ? 'whiteout' : typeOfMode(stat.mode)
      entriesOf(directory, name.toString('latin1')).push({ depth, type, lowest: undefined })
    }
  }
}

/** In order of use, the last first. */
const chains: LayerChain[] = []

function remember(chain: LayerChain): void {
  const at = chains.indexOf(chain)
  if (at >= 0) chains.splice(at, 1)
  chains.unshift(chain)
  let layers = chains.reduce((sum, each) => sum + each.layers.length, 0)
  while (chains.length > CHAINS || (layers > LAYERS && chains.length > 1)) layers -= chains.pop()?.layers.length ?? 0
}

function isListed({ own, listed }: Merged, height: number): boolean {
  const next = own[listed]
  return next === undefined || next.depth >= height
}

function entriesOf({ names }: Merged, name: Key): Entry[] {
  const entries = names.get(name) ?? []
  names.set(name, entries)
  return entries
}

/** Index of the last entry of a depth below `height`; -1 when there is none. */
function lastBelow(entries: readonly Entry[], height: number): number {
  let [low, high] = [0, entries.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((entries[middle] as Entry).depth < height) low = middle + 1
    else high = middle
  }
  return low - 1
}

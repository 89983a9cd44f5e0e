import { canonicalJson } from '../base/canonical-json.ts'
import { sha256 } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import { sys } from '../base/sys.ts'
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  DT_CHR,
  DT_SOCK,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  S_IFMT,
  S_IFREG,
} from '../base/sys-constants.ts'
import type { Name, SysDirent, SysStat } from '../base/sys-values.ts'
import type { MatchState } from '../go/pattern-matcher.ts'
import type { OwnedFile } from '../store/layer-owners.ts'
import type { DirectoryFds } from './directory-fds.ts'
import { DirectoryListing } from './directory-listing.ts'
import { type ChainPlace, LayerChain, ViewLayer } from './layer-chain.ts'
import { byKey, isWhiteout, KeyedNode, type NodeType, typeOfDirent, typeOfMode } from './node.ts'
import { isOpaque } from './opaque.ts'
import { bytes, joinKey, type Key, latin1, nameOf, parentKey, shown } from './path.ts'
import { resolveIn } from './resolve.ts'
import { type ScannedListing, scanTree } from './scan.ts'
import type { Listing, TreeNode, TreeScan, TreeView } from './types.ts'
import { readXattrs } from './xattrs.ts'

/** Which paths of a build context are left out: the compiled .dockerignore. Paths are relative, with slashes, no leading one. */
export interface PathFilter {
  /** What it goes by: equal ones leave the same paths out. */
  readonly identity: string
  /** The outcome for a path, whose parent had the state `parent` (D3). */
  step(path: Uint8Array, parent?: MatchState): MatchState
  /** Something below an excluded directory may be in again, by a `!` pattern (D4): otherwise it is not walked. */
  mayReinclude(directory: Uint8Array): boolean
}

/** What a view shows in place of a node's mode, with its S_IF bits. */
export type ShownMode = (mode: number) => number

interface DirectoryOptions {
  readonly ignore?: PathFilter
  readonly mode?: ShownMode
  /** Show no `security.capability`: it goes when a client of BuildKit's sends a file and the owner is set behind it, and stays with directories. */
  readonly dropsCapabilities?: boolean
}

/** Layer directories in overlayfs's format, complete, bottom first, as one tree. None gives an empty root directory. */
export function layeredView(directories: readonly string[]): TreeView {
  const [only] = directories
  if (only === undefined) return emptyView()
  const layers = directories.length === 1 ? new ViewLayer(only) : LayerChain.of(directories)
  return new LayeredView(layers, directories.length, { overlay: true, owners: true })
}

/** A directory of the host as a tree, such as a build context: symlinks never lead out, what `ignore` matches does not exist. */
export function directoryView(directory: string, options: DirectoryOptions = {}): TreeView {
  return new LayeredView(new ViewLayer(directory), 1, { overlay: false, owners: false, ...options })
}

/** Layers that make something: one, or for a directory all those that are merged. Each is known by the number of layers below it. */
type Place = Omit<ChainPlace, 'type'>

class LayerNode extends KeyedNode {
  readonly view: LayeredView
  readonly place: Place
  #layers: readonly number[] | undefined
  /** What the ignore file said of it, for its children. */
  readonly ignored: MatchState | undefined
  readonly listed: Listed | undefined

  constructor(view: LayeredView, key: Key, place: Place, { type, stat, listed }: Found, ignored?: MatchState) {
    super(key, type, stat)
    this.view = view
    this.place = place
    this.ignored = ignored
    this.listed = listed
  }

  /** Top first. */
  get layers(): readonly number[] {
    this.#layers ??= this.place.depths()
    return this.#layers
  }

  protected override readStat(): SysStat {
    const { top } = this.place
    const show = (stat: SysStat) => this.view.shown(stat, top, this.key)
    if (this.listed !== undefined) return show(this.listed.siblings.stat(this.listed.index))
    const fds = this.view.directories(top)
    if (this.key === '') return show(sys().statat(fds.fd(''), '', AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
    return show(sys().statat(fds.fd(parentKey(this.key)), bytes(nameOf(this.key))))
  }
}

interface Found {
  type: NodeType
  stat: SysStat | undefined
  /** Where the top layer's listing has it. */
  listed?: Listed
}

/** What has been found of one name while layers are merged, top first. */
interface Merging extends Found {
  readonly layers: number[]
  /** Nothing below counts any more. */
  closed: boolean
}

/** The layers of what is in the only one. */
const TOP = [0]

type KnownFile = Parameters<TreeScan['children']>[1]

interface Listed {
  readonly siblings: DirectoryListing | ScannedListing
  readonly index: number
}

/** Layers of a directory that are asked for a name one by one: with more than these the chain knows which has it. */
const FEW = 8

export class LayeredView implements TreeView {
  readonly root: LayerNode
  readonly #layers: ViewLayer | LayerChain
  /** Of `#layers` so many, from the bottom. */
  readonly #height: number
  readonly #overlay: boolean
  readonly #owned: boolean
  readonly #ignore: PathFilter | undefined
  readonly #mode: ShownMode | undefined
  readonly #dropsCapabilities: boolean
  readonly #hasVisible = new Map<Key, boolean>()

  constructor(layers: ViewLayer | LayerChain, height: number, options: DirectoryOptions & { overlay: boolean; owners: boolean }) {
    this.#layers = layers
    this.#height = height
    this.#overlay = options.overlay
    this.#owned = options.owners
    this.#ignore = options.ignore
    this.#mode = options.mode
    this.#dropsCapabilities = options.dropsCapabilities === true
    const place = layers instanceof LayerChain ? layers.root(height) : placeOf([0])
    this.root = new LayerNode(this, '', place, { type: 'directory', stat: undefined })
  }

  #layer(depth: number): ViewLayer {
    return this.#layers instanceof LayerChain ? (this.#layers.layers[depth] as ViewLayer) : this.#layers
  }

  /** Those of one of its layers. */
  directories(depth: number): DirectoryFds {
    return this.#layer(depth).fds
  }

  /** What a view says of a file of one of its layers: its owner may be data, its mode may be one of a git checkout. */
  shown(stat: SysStat, depth: number, key: Key): SysStat {
    const owners = this.#owned ? this.#layer(depth).owners : undefined
    const owned = owners?.active === true ? owners.shown(stat, ownedFile(this.directories(depth), key)) : stat
    return this.#mode === undefined ? owned : { ...owned, mode: this.#mode(owned.mode) }
  }

  resolve(path: Name, options: { follow?: boolean } = {}): TreeNode | undefined {
    return resolveIn(this, path, options.follow === true).node
  }

  child(directory: TreeNode, name: Name): TreeNode | undefined {
    const parent = this.#own(directory)
    const key = typeof name === 'string' ? name : latin1(name)
    if (this.#layers instanceof LayerChain && (parent.key === '' || parent.place.count > FEW)) {
      const place = this.#layers.child(parent.key, key, { height: this.#height, floor: parent.place.lowest })
      return place && new LayerNode(this, joinKey(parent.key, key), place, { type: place.type, stat: undefined })
    }
    const found: Merging = { type: 'file', stat: undefined, layers: [], closed: false }
    const raw = bytes(key)
    for (const layer of parent.layers) {
      if (found.closed) break
      const stat = sys().lookupat(this.directories(layer).fd(parent.key), raw)
      if (stat !== undefined) this.#merge(found, layer, joinKey(parent.key, key), typeOfMode(stat.mode), stat)
    }
    return this.#visible(found, parent, key)
  }

  children(directory: TreeNode): LayerNode[] {
    const parent = this.#own(directory)
    const found = new Map<Key, Merging>()
    for (const layer of parent.layers) {
      const fds = this.directories(layer)
      const entries = fds.list(parent.key)
      const siblings = new DirectoryListing(fds, parent.key, entries)
      for (const [index, entry] of entries.entries()) {
        const name = entry.name.toString('latin1')
        const known = found.get(name)
        const merging: Merging = known ?? { type: 'file', stat: undefined, layers: [], closed: false, listed: { siblings, index } }
        if (known === undefined) found.set(name, merging)
        if (!merging.closed) this.#mergeEntry(merging, layer, joinKey(parent.key, name), entry, parent.key)
      }
    }
    const nodes: LayerNode[] = []
    for (const [name, merging] of found) {
      const node = this.#visible(merging, parent, name)
      if (node !== undefined) nodes.push(node)
    }
    return nodes.sort(byKey)
  }

  async scan(directory: TreeNode): Promise<TreeScan | undefined> {
    const top = this.#own(directory)
    // Only one directory of the host is nothing that has to be merged.
    if (this.#overlay || this.#owned) return undefined
    const scan = await scanTree(this.directories(0), top, (key, parent) => this.#entered(key, parent))
    const shows = [this.#ignore?.identity ?? null, this.#dropsCapabilities, top.key, { ...top.stat }]
    return {
      newest: scan.newest,
      digest: scan.digest && this.#mode === undefined ? sha256(canonicalJson([...shows, scan.digest])) : undefined,
      children: (node, known) => {
        const listing = scan.directory(this.#own(node).key)
        return listing === undefined ? this.children(node) : this.#listed(this.#own(node), listing, known)
      },
    }
  }

  /** For what is in a directory, when anything there may be shown. */
  #entered(key: Key, parent: MatchState | undefined): { state: MatchState | undefined } | undefined {
    const path = bytes(key)
    const state = this.#ignore?.step(path, parent)
    return state?.matched === true && this.#ignore?.mayReinclude(path) === false ? undefined : { state }
  }

  #listed(parent: LayerNode, siblings: ScannedListing, known?: KnownFile): (LayerNode | string)[] {
    const found: (LayerNode | string)[] = []
    siblings.forEach((name, stat, index) => {
      const type = typeOfMode(stat.mode)
      const isKnown = type === 'file' && this.#mode === undefined && !this.#isIgnored(parent, name) ? known?.(name, stat) : undefined
      const listed = { type, stat: undefined, layers: TOP, closed: true, listed: { siblings, index } }
      const entry = isKnown ?? this.#visible(listed, parent, name)
      if (entry !== undefined) found.push(entry)
    })
    return found
  }

  #isIgnored(parent: LayerNode, name: Key): boolean {
    return this.#ignore?.step(bytes(joinKey(parent.key, name)), parent.ignored).matched === true
  }

  #mergeEntry(found: Merging, layer: number, key: Key, entry: SysDirent, parent: Key): void {
    const type = typeOfDirent(entry.type)
    // A character device or a socket may be a whiteout.
    const certain = type !== undefined && ((entry.type !== DT_CHR && entry.type !== DT_SOCK) || !this.#overlay)
    const stat = certain ? undefined : sys().statat(this.directories(layer).fd(parent), entry.name)
    this.#merge(found, layer, key, stat === undefined ? (type as NodeType) : typeOfMode(stat.mode), stat)
  }

  /** The rules of overlayfs: a whiteout hides what is below, only directories merge, an opaque one is the last. */
  #merge(found: Merging, layer: number, key: Key, type: NodeType, stat: SysStat | undefined): void {
    const first = found.layers.length === 0
    if (this.#overlay && stat !== undefined && isWhiteout(stat)) {
      found.closed = true
      return
    }
    if (type !== 'directory') {
      found.closed = true
      if (!first) return
    } else if (!first && isOpaque(this.directories(found.layers.at(-1) as number), key)) {
      found.closed = true
      return
    }
    if (first) {
      found.type = type
      found.stat = stat
    }
    found.layers.push(layer)
  }

  #visible(found: Merging, parent: LayerNode, name: Key): LayerNode | undefined {
    if (found.layers.length === 0) return undefined
    const key = joinKey(parent.key, name)
    if (found.stat !== undefined) found.stat = this.shown(found.stat, found.layers[0] as number, key)
    const place = placeOf(found.layers)
    if (this.#ignore === undefined) return new LayerNode(this, key, place, found)
    const path = bytes(key)
    const ignored = this.#ignore.step(path, parent.ignored)
    const node = new LayerNode(this, key, place, found, ignored)
    if (!ignored.matched) return node
    return found.type === 'directory' && this.#ignore.mayReinclude(path) && this.#hasVisibleChild(node) ? node : undefined
  }

  /** D4: an excluded directory exists as the parent of what a `!` pattern takes back. */
  #hasVisibleChild(directory: LayerNode): boolean {
    let known = this.#hasVisible.get(directory.key)
    if (known === undefined) {
      known = this.children(directory).length > 0
      this.#hasVisible.set(directory.key, known)
    }
    return known
  }

  readlink(node: TreeNode): Buffer {
    const { key } = this.#own(node)
    return sys().readlinkat(this.#parentFd(node), bytes(nameOf(key)))
  }

  open(node: TreeNode): number {
    return openFile(this.#parentFd(node), this.#own(node).key)
  }

  xattrs(node: TreeNode): Map<string, Buffer> {
    const { key } = this.#own(node)
    const found = readXattrs(this.#parentFd(node), key === '' ? '' : bytes(nameOf(key)))
    if (this.#dropsCapabilities && node.type !== 'directory') found.delete('security.capability')
    return found
  }

  listing(node: TreeNode): Listing | undefined {
    return this.#own(node).listed?.siblings.place
  }

  inode(node: TreeNode): string {
    return `${this.#own(node).place.top}:${node.stat.dev}:${node.stat.ino}`
  }

  /** Of the directory that holds the node, in the layer where its metadata and content are. */
  #parentFd(node: TreeNode): number {
    const { key, place } = this.#own(node)
    return this.directories(place.top).fd(parentKey(key))
  }

  #own(node: TreeNode): LayerNode {
    if (node instanceof LayerNode && node.view === this) return node
    throw new TypeError('a node of another view')
  }
}

/** Of a view of one directory: its files are many. */
const ONLY: Place = { top: 0, lowest: 0, count: 1, depths: () => TOP }

function placeOf(layers: readonly number[]): Place {
  const [top = 0] = layers
  return layers.length === 1 && top === 0 ? ONLY : { top, lowest: layers.at(-1) as number, count: layers.length, depths: () => layers }
}

/** The root directory is named by its descriptor. */
export function ownedFile(fds: DirectoryFds, key: Key): OwnedFile {
  return key === '' ? { dirfd: fds.fd(''), name: '', key } : { dirfd: fds.fd(parentKey(key)), name: bytes(nameOf(key)), key }
}

/** Opens a regular file and nothing else: O_NONBLOCK so that a fifo put there cannot stop us. */
export function openFile(parentFd: number, key: Key): number {
  const fd = sys().openat(parentFd, bytes(nameOf(key)), O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0)
  if ((sys().statat(fd, '', AT_EMPTY_PATH).mode & S_IFMT) === S_IFREG) return fd
  sys().close(fd)
  throw new TbuildError('NOT_A_FILE', `not a regular file: /${shown(key)}`)
}

const EMPTY_STAT: SysStat = {
  ...{ dev: 0, ino: 0, mode: 0o040755, nlink: 2, uid: 0, gid: 0, rdevMajor: 0, rdevMinor: 0, size: 0 },
  ...{ mtimeSeconds: 0, mtimeNanoseconds: 0, ctimeSeconds: 0, ctimeNanoseconds: 0 },
}

class EmptyRoot extends KeyedNode {
  protected override readStat(): SysStat {
    return EMPTY_STAT
  }
}

/** Whether a view is `emptyView`'s: its root never was a directory on a disk, and has no time. */
export function isEmptyView(view: TreeView): boolean {
  return view.root instanceof EmptyRoot
}

/** `FROM scratch`: a root directory with nothing in it. */
export function emptyView(): TreeView {
  const root = new EmptyRoot('', 'directory')
  const nothing = (): never => {
    throw new TypeError('an empty view has no files')
  }
  const view: TreeView & { root: TreeNode } = {
    root,
    resolve: (path, options = {}) => resolveIn(view, path, options.follow === true).node,
    child: () => undefined,
    children: () => [],
    readlink: nothing,
    open: nothing,
    xattrs: () => new Map(),
    inode: () => 'root',
  }
  return view
}

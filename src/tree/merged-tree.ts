import { TbuildError } from '../base/errors.ts'
import { sys } from '../base/sys.ts'
import { AT_EMPTY_PATH, S_IFDIR, S_IFMT } from '../base/sys-constants.ts'
import type { Name, SysStat } from '../base/sys-values.ts'
import type { LayerOwners } from '../store/layer-owners.ts'
import { type DeferredFile, DeferredFiles, openDeferred, statOfDeferred } from './deferred-files.ts'
import type { DirectoryFds } from './directory-fds.ts'
import { byKey, isWhiteout, KeyedNode, type NodeType, typeOfMode } from './node.ts'
import { isOpaque } from './opaque.ts'
import { bytes, joinKey, type Key, latin1, nameOf, parentKey, shown } from './path.ts'
import { resolveIn, type Walkable } from './resolve.ts'
import type { TreeNode, TreeView } from './types.ts'
import { openFile, ownedFile } from './view.ts'
import { readXattrs } from './xattrs.ts'

/** A directory of the merged tree. */
export interface Directory {
  /** It exists in the upper directory. */
  upper: boolean
  /** The directory below that it is merged with. */
  lower: TreeNode | undefined
  /** All names that it has in the upper directory, when this writer made it there and remembers them: then nothing has to be asked. */
  names?: Set<Key>
}

export class MergedNode extends KeyedNode {
  readonly tree: MergedTree
  readonly upper: boolean
  readonly lower: TreeNode | undefined

  constructor(tree: MergedTree, key: Key, type: NodeType, place: Directory, stat?: SysStat) {
    super(key, type, stat)
    this.tree = tree
    this.upper = place.upper
    this.lower = place.lower
  }

  protected override readStat(): SysStat {
    if (!this.upper) return (this.lower as TreeNode).stat
    return this.tree.statUpper(this.key)
  }
}

/**
 * An upper directory that is being written, over a view: what a mount of the two would show now. What is known of its directories is kept, since most
 * of what is written goes into directories that this writer made. `writer.ts` adds the writing.
 */
export class MergedTree implements TreeView {
  protected readonly fds: DirectoryFds
  protected readonly lower: TreeView
  protected readonly owners: LayerOwners
  protected readonly directories = new Map<Key, Directory>()
  /** Files of this layer that another thread is making: they count as there. */
  protected readonly expected = new Set<Key>()
  /** Files of the upper directory that are not written into it. */
  readonly deferred = new DeferredFiles()

  constructor(fds: DirectoryFds, owners: LayerOwners, lower: TreeView, lowerRoot: TreeNode | undefined) {
    this.fds = fds
    this.owners = owners
    this.lower = lower
    this.directories.set('', { upper: true, lower: isOpaque(this.fds, '') ? undefined : lowerRoot })
  }

  get root(): TreeNode {
    return new MergedNode(this, '', 'directory', this.directories.get('') as Directory)
  }

  resolve(path: Name, options: { follow?: boolean } = {}): TreeNode | undefined {
    return resolveIn(this, path, options.follow === true).node
  }

  /** What the upper directory itself has: a symlink that is only below is not there, a directory neither. */
  get ownLayer(): Walkable {
    const own = (node: MergedNode | undefined) => (node?.upper === true ? node : undefined)
    return { root: this.root, child: (directory, name) => own(this.child(directory, name)), readlink: (node) => this.readlink(node) }
  }

  /** What the merged tree has at a real path; its parent must be a directory. */
  at(key: Key): TreeNode | undefined {
    if (key === '') return this.root
    const parent = parentKey(key)
    return this.child(new MergedNode(this, parent, 'directory', this.known(parent)), nameOf(key))
  }

  child(directory: TreeNode, name: Name): MergedNode | undefined {
    const raw = typeof name === 'string' ? name : latin1(name)
    const parentPath = this.own(directory).key
    const parent = this.known(parentPath)
    const key = joinKey(parentPath, raw)
    if (this.expected.has(key)) return new MergedNode(this, key, 'file', { upper: true, lower: undefined })
    const deferred = this.deferred.at(parentPath, raw)
    if (deferred !== undefined) return new MergedNode(this, key, 'file', { upper: true, lower: undefined }, statOfDeferred(deferred))
    const below = () => (parent.lower === undefined ? undefined : this.lower.child(parent.lower, raw))
    const isAsked = parent.upper && parent.names?.has(raw) !== false
    const found = isAsked ? sys().lookupat(this.fds.fd(parentPath), bytes(raw)) : undefined
    if (found === undefined) return this.#belowNode(key, below())
    if (isWhiteout(found)) return undefined
    const stat = this.#owned(found, key)
    if ((stat.mode & S_IFMT) !== S_IFDIR) return new MergedNode(this, key, typeOfMode(stat.mode), { upper: true, lower: undefined }, stat)
    let known = this.directories.get(key)
    if (known === undefined || !known.upper) {
      const candidate = below()
      const merges = candidate?.type === 'directory' && !isOpaque(this.fds, key)
      known = { upper: true, lower: merges ? candidate : undefined }
      this.directories.set(key, known)
    }
    return new MergedNode(this, key, 'directory', known, stat)
  }

  #belowNode(key: Key, lower: TreeNode | undefined): MergedNode | undefined {
    if (lower === undefined) return undefined
    const place = { upper: false, lower }
    if (lower.type === 'directory') this.directories.set(key, place)
    return new MergedNode(this, key, lower.type, place)
  }

  children(directory: TreeNode): TreeNode[] {
    const parentPath = this.own(directory).key
    const parent = this.known(parentPath)
    const names = new Set<Key>(this.deferred.names(parentPath))
    if (parent.upper) for (const entry of this.fds.list(parentPath)) names.add(entry.name.toString('latin1'))
    if (parent.lower !== undefined) for (const node of this.lower.children(parent.lower)) names.add(node.name.toString('latin1'))
    const nodes = [...names].map((name) => this.child(directory, name)).filter((node) => node !== undefined)
    return nodes.sort(byKey)
  }

  readlink(node: TreeNode): Buffer {
    const own = this.own(node)
    if (!own.upper) return this.lower.readlink(own.lower as TreeNode)
    return sys().readlinkat(this.fds.fd(parentKey(own.key)), bytes(nameOf(own.key)))
  }

  open(node: TreeNode): number {
    const own = this.own(node)
    const deferred = this.#deferredOf(own)
    if (deferred !== undefined) return openDeferred(deferred, own.key)
    return own.upper ? openFile(this.fds.fd(parentKey(own.key)), own.key) : this.lower.open(own.lower as TreeNode)
  }

  xattrs(node: TreeNode): Map<string, Buffer> {
    const own = this.own(node)
    if (!own.upper) return this.lower.xattrs(own.lower as TreeNode)
    if (this.#deferredOf(own) !== undefined) return new Map()
    return readXattrs(this.fds.fd(parentKey(own.key)), bytes(nameOf(own.key)))
  }

  inode(node: TreeNode): string {
    const own = this.own(node)
    return own.upper ? `upper:${own.stat.dev}:${own.stat.ino}` : this.lower.inode(own.lower as TreeNode)
  }

  #deferredOf({ key }: MergedNode): DeferredFile | undefined {
    return this.deferred.at(parentKey(key), nameOf(key))
  }

  protected own(node: TreeNode): MergedNode {
    if (node instanceof MergedNode && node.tree === this) return node
    throw new TypeError('a node of another view')
  }

  statUpper(key: Key): SysStat {
    if (key === '') return this.#owned(sys().statat(this.fds.fd(''), '', AT_EMPTY_PATH), key)
    return this.#owned(sys().statat(this.fds.fd(parentKey(key)), bytes(nameOf(key))), key)
  }

  #owned(stat: SysStat, key: Key): SysStat {
    return this.owners.active ? this.owners.shown(stat, ownedFile(this.fds, key)) : stat
  }

  /** What is known of a directory that exists; ENOTDIR otherwise. */
  protected known(key: Key): Directory {
    const known = this.directories.get(key)
    if (known !== undefined) return known
    if (this.at(key)?.type !== 'directory') throw new TbuildError('ENOTDIR', `not a directory: /${shown(key)}`)
    return this.directories.get(key) as Directory
  }
}

import { TbuildError } from '../base/errors.ts'
import { TimeSlice } from '../base/time-slice.ts'
import type { TarEntry } from '../tar/types.ts'
import { ChangedLayer } from './changed-layer.ts'
import { type DeferredFiles, NeedsDirectory } from './deferred-files.ts'
import { type Time, timeOf } from './metadata.ts'
import { keyOf } from './node.ts'
import { bytes, joinKey, type Key, nameOf, parentKey, shown } from './path.ts'
import { sameBytes, sameContent } from './same-content.ts'
import { smallListing } from './small-files.ts'
import type { Listing, TreeNode, TreeView } from './types.ts'
import { isUnpackedTime } from './unpack.ts'

/** One member of a layer's tar. `open` gives an fd with the content of a non-empty file; the caller closes it. */
export interface LayerChange {
  readonly entry: TarEntry
  readonly open?: () => number
  /** Of the time, which in an entry has whole seconds. */
  readonly nanoseconds: number
  readonly plain?: PlainFile
}

/** A small file that most likely has no extended attributes: it was not asked for them, for whoever reads it sees that (`readEach` of base/sys.ts). */
export interface PlainFile {
  readonly listing: Listing
  /** In that directory. */
  readonly name: Buffer
  /** The change as it is when it turns out to have some. */
  exactly(): LayerChange
}

export interface ChangesOptions {
  /** Gives small files as PlainFile; otherwise all entries are exact. */
  readonly plain?: boolean
  /** The layer's directory is not all of it, and will not be kept. NeedsDirectory where one that is made of the tar would be another than it would have been. */
  readonly partial?: PartialLayer
}

interface PartialLayer {
  /** What of the layer is not in its directory. */
  readonly deferred: DeferredFiles
  /** Told of the time of each directory that is changed and that the tar does not have, or not yet. */
  readonly onTime: (directory: Key, time: Time) => void
}

const WHITEOUT = '.wh.'
const CAPABILITY = 'security.capability'

/**
 * What a layer's tar holds, in the order of BuildKit's overlay differ: depth first, names of a directory sorted by bytes (L1–L6). `upper` is in
 * overlayfs's format, `lower` what it was written over.
 */
export async function* layerChanges(
  upper: string,
  lower: TreeView,
  { plain = false, partial }: ChangesOptions = {},
): AsyncGenerator<LayerChange, void, undefined> {
  const slice = new TimeSlice()
  const layer = new ChangedLayer(upper, partial?.deferred)
  const writer = new ChangeWriter(layer, plain)
  try {
    partial?.onTime('', timeOf(layer.root.stat))
    for (const { key, node, before, kind } of walkChanges(layer, lower)) {
      if (slice.isOver()) await slice.yield()
      if (partial !== undefined && before !== undefined && node !== undefined) checkSame(layer, node, lower, before, partial.onTime)
      if (kind === 'delete') yield* writer.whiteout(key)
      else if (kind === 'change' && node !== undefined) yield* writer.change(node)
      else if (kind === 'unmodified' && node !== undefined) yield* writer.unmodified(node)
    }
  } finally {
    layer.close()
  }
}

interface Found {
  readonly key: Key
  readonly node?: TreeNode
  /** Of what is the same: what the layers below have. */
  readonly before?: TreeNode | undefined
  /** `unmodified` is `same` below an opaque directory. */
  readonly kind: 'change' | 'delete' | 'same' | 'unmodified'
}

interface Level {
  readonly entries: IterableIterator<Found & { readonly below?: TreeNode | undefined; readonly opaque?: boolean }>
}

/** A stack and no recursion: depth is the image's choice. */
function* walkChanges(layer: ChangedLayer, lower: TreeView): Generator<Found> {
  const stack: Level[] = [{ entries: level(layer, lower, layer.root, lower.root, layer.isOpaque(layer.root)) }]
  for (let current = stack.at(-1); current !== undefined; current = stack.at(-1)) {
    const { value: found, done } = current.entries.next()
    if (done === true) {
      stack.pop()
      continue
    }
    yield found
    if (found.node?.type === 'directory' && found.kind !== 'delete') {
      const opaque = found.opaque === true || layer.isOpaque(found.node)
      stack.push({ entries: level(layer, lower, found.node, found.below, opaque) })
    }
  }
}

/** The changes among the names of one directory. In an opaque one, what lies below and is not here was removed (L3). */
function* level(
  layer: ChangedLayer,
  lower: TreeView,
  directory: TreeNode,
  below: TreeNode | undefined,
  opaque: boolean,
): Generator<Found & { below?: TreeNode | undefined; opaque?: boolean }> {
  const parent = keyOf(directory)
  const old = below?.type === 'directory' ? below : undefined
  const here = new Map(layer.children(directory).map((node) => [nameOf(keyOf(node)), node]))
  const names = new Set(here.keys())
  if (opaque && old !== undefined) for (const node of lower.children(old)) names.add(nameOf(keyOf(node)))
  for (const name of [...names].sort()) {
    const node = here.get(name)
    const key = joinKey(parent, name)
    const before = old === undefined ? undefined : lower.child(old, name)
    if (node === undefined || layer.isWhiteout(node)) {
      // Of something that never was, there is nothing to remove.
      if (before !== undefined) yield { key, kind: 'delete' }
      continue
    }
    const same = before !== undefined && isSame(layer, node, lower, before)
    const unchanged = opaque ? 'unmodified' : 'same'
    const merged = before?.type === 'directory' ? before : undefined
    yield { key, node, kind: same ? unchanged : 'change', before: same ? before : undefined, below: merged, opaque }
  }
}

/**
 * continuity's comparison, which BuildKit uses: mode, owner, device and capability; of a directory nothing more; of others the time, and when both
 * times have no fraction (unpacked from a tar), the content.
 */
function isSame(layer: ChangedLayer, node: TreeNode, lower: TreeView, before: TreeNode): boolean {
  const a = node.stat
  const b = before.stat
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid || a.rdevMajor !== b.rdevMajor || a.rdevMinor !== b.rdevMinor) return false
  if (!sameBytes(layer.xattrs(node).get(CAPABILITY), lower.xattrs(before).get(CAPABILITY))) return false
  if (node.type === 'directory') return true
  if (a.size !== b.size || a.mtimeSeconds !== b.mtimeSeconds || a.mtimeNanoseconds !== b.mtimeNanoseconds) return false
  if (a.mtimeNanoseconds !== 0) return true
  if (node.type === 'symlink') return layer.readlink(node).equals(lower.readlink(before))
  return node.type !== 'file' || a.size === 0 || sameContent(layer.open(node), lower.open(before))
}

/** What is the same for a tar, which does not have it then, need not be the same in a directory. */
function checkSame(layer: ChangedLayer, node: TreeNode, lower: TreeView, before: TreeNode, onTime: PartialLayer['onTime']): void {
  const time = timeOf(node.stat)
  const old = timeOf(before.stat)
  if (!sameAttributes(layer.xattrs(node), lower.xattrs(before))) throw new NeedsDirectory('a tar has no such attributes')
  if (node.type === 'directory') {
    if (time.seconds !== old.seconds || time.nanoseconds !== old.nanoseconds) onTime(keyOf(node), time)
    return
  }
  if (node.stat.nlink > 1) throw new NeedsDirectory('a tar has no link to what it does not have')
  const isOther = node.type === 'symlink' ? !layer.readlink(node).equals(lower.readlink(before)) : node.type === 'file' && !sameFile()
  if (isOther) throw new NeedsDirectory('what differs has the same time')

  function sameFile(): boolean {
    return node.stat.size === 0 || sameContent(layer.open(node), lower.open(before))
  }
}

function sameAttributes(a: ReadonlyMap<string, Buffer>, b: ReadonlyMap<string, Buffer>): boolean {
  return a.size === b.size && [...a].every(([name, value]) => sameBytes(value, b.get(name)))
}

/** Makes tar members of changes, each preceded by the parents that the tar does not have yet (L1). */
class ChangeWriter {
  readonly #layer: ChangedLayer
  readonly #plain: boolean
  readonly #written = new Set<Key>([''])
  readonly #links = new Map<string, Key>()
  /** Unchanged names of inodes that no changed name has been seen of yet. */
  readonly #siblings = new Map<string, TreeNode[]>()

  constructor(layer: ChangedLayer, plain: boolean) {
    this.#layer = layer
    this.#plain = plain
  }

  *whiteout(key: Key): Generator<LayerChange> {
    yield* this.#parents(key)
    const name = joinKey(parentKey(key), `${WHITEOUT}${nameOf(key)}`)
    yield { entry: { name: bytes(name), type: 'file', mode: 0, uid: 0, gid: 0, size: 0, mtime: 0 }, nanoseconds: 0 }
  }

  *change(node: TreeNode): Generator<LayerChange> {
    // L1: an archive has no sockets.
    if (node.type === 'socket' || this.#written.has(keyOf(node))) return
    yield* this.#parents(keyOf(node))
    yield this.#member(node)
    if (this.#siblings.size > 0) yield* this.#earlierNames(node)
  }

  /**
   * L6: linking to a file of a lower layer brings it up, unchanged, with the new name beside it. BuildKit's overlay differ passes the old name over, so
   * that in the image the two are different files; only below an opaque directory, where the walking differ takes over, they stay one.
   */
  *unmodified(node: TreeNode): Generator<LayerChange> {
    if (node.type === 'directory' || node.type === 'socket' || node.stat.nlink < 2) return
    const inode = this.#layer.inode(node)
    if (this.#links.has(inode)) yield* this.change(node)
    else this.#siblings.set(inode, [...(this.#siblings.get(inode) ?? []), node])
  }

  /** The unchanged names that came before the first changed one. */
  *#earlierNames(node: TreeNode): Generator<LayerChange> {
    if (node.type === 'directory' || node.stat.nlink < 2) return
    const inode = this.#layer.inode(node)
    const siblings = this.#siblings.get(inode) ?? []
    this.#siblings.delete(inode)
    for (const sibling of siblings) yield* this.change(sibling)
  }

  *#parents(key: Key): Generator<LayerChange> {
    const missing: TreeNode[] = []
    for (let parent = parentKey(key); !this.#written.has(parent); parent = parentKey(parent)) {
      const node = this.#layer.parent(bytes(parent))
      if (node !== undefined) missing.push(node)
      this.#written.add(parent)
    }
    for (const node of missing.reverse()) yield this.#member(node)
  }

  #member(node: TreeNode): LayerChange {
    const key = keyOf(node)
    if (nameOf(key).startsWith(WHITEOUT)) throw whiteoutName(key)
    if (this.#layer.isPartial && !isUnpackedTime(node.stat.mtimeSeconds)) throw new NeedsDirectory('no archive gives a file such a time')
    const listing = this.#plain ? smallListing(this.#layer, node) : undefined
    if (listing === undefined) return this.#exact(node, key)
    const { size, mtimeNanoseconds: nanoseconds } = node.stat
    const open = () => this.#layer.open(node)
    const plain = { listing, name: node.name, exactly: () => this.#exact(node, key) }
    return { entry: { ...fieldsOf(node, key), type: 'file', size }, open, nanoseconds, plain }
  }

  #exact(node: TreeNode, key: Key): LayerChange {
    const { stat, type } = node
    if (type === 'directory') this.#written.add(key)
    const common = { ...fieldsOf(node, key), ...this.#attributes(node) }
    const { mtimeNanoseconds: nanoseconds } = stat
    const first = type !== 'directory' && stat.nlink > 1 ? this.#firstName(node) : undefined
    if (first !== undefined) return { entry: { ...common, type: 'link', linkname: bytes(first) }, nanoseconds }
    if (type === 'symlink') return { entry: { ...common, type, linkname: this.#layer.readlink(node) }, nanoseconds }
    if (type === 'file') {
      const entry: TarEntry = { ...common, type, size: stat.size }
      // An empty file that was deferred is opened, too: it may have attributes by now.
      const isEmpty = stat.size === 0 && !this.#layer.isPartial
      return isEmpty ? { entry, nanoseconds } : { entry, nanoseconds, open: () => this.#layer.open(node) }
    }
    const device = type === 'character' || type === 'block' ? { major: stat.rdevMajor, minor: stat.rdevMinor } : {}
    return { entry: { ...common, ...device, type: type as 'directory' | 'character' | 'block' | 'fifo' }, nanoseconds }
  }

  /** L5: of all attributes a layer has the capability, and that not of a symlink. */
  #attributes(node: TreeNode): Pick<TarEntry, 'xattrs'> {
    if (node.type === 'symlink' && !this.#layer.isPartial) return {}
    const all = this.#layer.xattrs(node)
    const capability = node.type === 'symlink' ? undefined : all.get(CAPABILITY)
    if (this.#layer.isPartial && all.size > (capability === undefined ? 0 : 1)) throw new NeedsDirectory('a layer has no such attributes')
    return capability === undefined ? {} : { xattrs: new Map([[CAPABILITY, capability]]) }
  }

  /** L6: the first name has the content, the others are links to it. Undefined for the first. */
  #firstName(node: TreeNode): Key | undefined {
    const inode = this.#layer.inode(node)
    const first = this.#links.get(inode)
    if (first === undefined) this.#links.set(inode, keyOf(node))
    return first
  }
}

/** What all types have. */
function fieldsOf({ stat }: TreeNode, key: Key) {
  return { name: bytes(key), mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, mtime: stat.mtimeSeconds, size: 0 }
}

/** Whoever unpacks the layer, docker as anybody else, would remove what the rest of the name says, and never see the file. */
function whiteoutName(key: Key): TbuildError {
  return new TbuildError(
    'WHITEOUT_NAME',
    `/${shown(key)} cannot be in an image: a name that begins with ${WHITEOUT} marks a removed file in a layer`,
    {
      hint: 'rename it, or leave it out: with .dockerignore, or by removing it in the RUN that makes it',
    },
  )
}

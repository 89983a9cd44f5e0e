import { sys } from '../base/sys.ts'
import { TimeSlice } from '../base/time-slice.ts'
import { timeOf } from './metadata.ts'
import { changeTime, isBefore, type NativeRoot } from './native-root.ts'
import { keyOf } from './node.ts'
import { bytes, joinKey, nameOf, parentKey } from './path.ts'
import { type RawLayer, rawLayer } from './raw-layer.ts'
import { sameBytes } from './same-content.ts'
import type { TreeNode, TreeView } from './types.ts'
import { type LayerWriter, layerWriter } from './writer.ts'

/**
 * Moves what a command changed in a copy of `lower` into `upper`, in the form that overlayfs would have left there. Files are renamed into it, so both are
 * on one file system; the copy is used up.
 */
export async function moveChanges(root: NativeRoot, upper: string, lower: TreeView, signal?: AbortSignal): Promise<void> {
  const native = rawLayer(root.directory)
  const writer = layerWriter(upper, lower)
  try {
    await new Changes(root, native, lower, writer, signal).run()
    writer.finish()
  } finally {
    native.close()
  }
}

/** A directory of the copy and the one below that it was made of. */
interface Pair {
  readonly node: TreeNode
  readonly below: TreeNode | undefined
}

class Changes {
  readonly #root: NativeRoot
  readonly #native: RawLayer
  readonly #lower: TreeView
  readonly #writer: LayerWriter
  readonly #slice: TimeSlice

  constructor(root: NativeRoot, native: RawLayer, lower: TreeView, writer: LayerWriter, signal: AbortSignal | undefined) {
    this.#root = root
    this.#native = native
    this.#lower = lower
    this.#writer = writer
    this.#slice = new TimeSlice(signal)
  }

  async run(): Promise<void> {
    const { root } = this.#native
    const { mode, uid, gid } = root.stat
    this.#writer.setMetadata('', 'directory', { mode: mode & 0o7777, uid, gid, xattrs: this.#native.xattrs(root) })
    const pending: Pair[] = [{ node: root, below: this.#lower.root }]
    for (let pair = pending.pop(); pair !== undefined; pair = pending.pop()) {
      const here = this.#native.children(pair.node)
      this.#removed(pair, here)
      for (const node of here) {
        if (this.#slice.isOver()) await this.#slice.yield()
        // Before anything is moved away: its metadata is read with that of all of its directory.
        const touched = this.#isTouched(node)
        const below = pair.below === undefined ? undefined : this.#lower.child(pair.below, nameOf(keyOf(node)))
        if (node.type === 'directory') pending.push(this.#directory(node, below, pair.node))
        else if (below === undefined || touched) this.#move(node, below, pair.node)
      }
    }
  }

  #isTouched({ stat }: TreeNode): boolean {
    const { begun, settled } = this.#root
    return isBefore(changeTime(stat), begun) || !isBefore(changeTime(stat), settled)
  }

  #removed({ node, below }: Pair, here: readonly TreeNode[]): void {
    if (below === undefined || !this.#isTouched(node)) return
    const names = new Set(here.map((child) => nameOf(keyOf(child))))
    for (const child of this.#lower.children(below)) {
      const key = joinKey(keyOf(node), nameOf(keyOf(child)))
      if (names.has(nameOf(key)) || this.#root.omitted.has(key)) continue
      this.#writer.whiteout(key)
      this.#keepTime(node)
    }
  }

  /** One that is not the copy of what is below hides it: it was made anew, or moved here. */
  #directory(node: TreeNode, below: TreeNode | undefined, parent: TreeNode): Pair {
    const key = keyOf(node)
    const kept = below?.type === 'directory' && this.#root.directories.get(key) === node.stat.ino
    if (kept && !this.#isTouched(node)) return { node, below }
    if (!kept) {
      this.#writer.directory(key, 0o700)
      this.#keepTime(parent)
    }
    const xattrs = this.#native.xattrs(node)
    const before = kept ? this.#lower.xattrs(below) : new Map<string, Buffer>()
    if (!kept || !sameMetadata(node, below) || !sameXattrs(xattrs, before)) {
      const { mode, uid, gid } = node.stat
      this.#writer.setMetadata(key, 'directory', { mode: mode & 0o7777, uid, gid, xattrs })
      for (const name of before.keys())
        if (!xattrs.has(name)) sys().removexattrat(this.#writer.upperFd(key), '.', Buffer.from(name, 'latin1'))
      this.#keepTime(node)
    }
    return { node, below: kept ? below : undefined }
  }

  /** All of its names come, one by one, and stay one file. A device that is overlayfs's mark removes what is below, and is none itself. */
  #move(node: TreeNode, below: TreeNode | undefined, parent: TreeNode): void {
    const key = keyOf(node)
    if (this.#native.isWhiteout(node)) {
      if (below !== undefined) this.#writer.whiteout(key)
      this.#keepTime(parent)
      return
    }
    // Bringing the directory up and removing what stands there is the writer's work.
    const to = this.#writer.upperFd(parentKey(key))
    this.#writer.newName(key)
    const from = this.#native.fds.fd(parentKey(key))
    sys().renameat(from, bytes(nameOf(key)), to, bytes(nameOf(key)), 0)
    this.#keepTime(parent)
  }

  /** The command's time of a directory that is in upper now; what is written into it changes that one. The root's is nobody's concern. */
  #keepTime(directory: TreeNode): void {
    if (keyOf(directory) !== '') this.#writer.laterTimes(keyOf(directory), timeOf(directory.stat))
  }
}

function sameMetadata({ stat: a }: TreeNode, { stat: b }: TreeNode): boolean {
  const times = a.mtimeSeconds === b.mtimeSeconds && a.mtimeNanoseconds === b.mtimeNanoseconds
  return times && a.mode === b.mode && a.uid === b.uid && a.gid === b.gid
}

function sameXattrs(a: ReadonlyMap<string, Buffer>, b: ReadonlyMap<string, Buffer>): boolean {
  return a.size === b.size && [...a].every(([name, value]) => sameBytes(value, b.get(name)))
}

import { sys } from '../base/sys.ts'
import { TimeSlice } from '../base/time-slice.ts'
import { COPIED_XATTR, LayerOwners, type Owner, takeRunOwners } from '../store/layer-owners.ts'
import { keyOf } from './node.ts'
import { bytes, type Key, nameOf, parentKey } from './path.ts'
import { isOpaqueIn, type RawLayer, rawLayer } from './raw-layer.ts'
import type { TreeNode, TreeView } from './types.ts'
import { ownedFile } from './view.ts'

/** What the kernel leaves on everything that it copies up but hard links (the second is a user namespace's), and a copy of the root on its files. */
const ORIGIN_XATTRS = ['trusted.overlay.origin', 'user.overlay.origin', COPIED_XATTR] as const
/** Where the image lacks them they are the sandbox's. */
const MOUNT_POINTS: ReadonlySet<Key> = new Set(['dev', 'proc', 'sys'])

/**
 * After a RUN: what it only changed keeps the owner that it had in `lower`, where that is data; of files and directories the kernel took it along, of others
 * it is looked up here. `creator` is the user of the RUN when that one is nobody on disk: what was made belongs to it. A layer in which no owner is data
 * is left alone.
 */
export async function restoreOwners(upper: string, lower: TreeView, creator: Owner | undefined, signal?: AbortSignal): Promise<void> {
  const owners = LayerOwners.of(upper)
  const given = takeRunOwners(upper)
  if (creator !== undefined) owners.activate()
  if (!owners.active) return
  const layer = rawLayer(upper)
  const slice = new TimeSlice(signal)
  try {
    const pending: TreeNode[] = layer.children(layer.root)
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      if (slice.isOver()) await slice.yield()
      if (layer.isWhiteout(node)) continue
      if (node.type === 'directory') pending.push(...layer.children(node))
      const owner = givenOwner(given, node, ownerOf(layer, node, lower, creator))
      if (owner === undefined || (owner.uid === node.stat.uid && owner.gid === node.stat.gid)) continue
      // What changes the owner takes the bits and the capability away that come with it.
      owners.setData(ownedFile(layer.fds, keyOf(node)), owner)
    }
    owners.save()
  } finally {
    layer.close()
  }
}

/** What the RUN gave it comes last; of files and directories that is on them. */
function givenOwner(given: ReadonlyMap<Key, Owner>, node: TreeNode, before: Owner | undefined): Owner | undefined {
  const change = node.type === 'file' || node.type === 'directory' ? undefined : given.get(keyOf(node))
  if (change === undefined) return before
  const { uid, gid } = before ?? node.stat
  return { uid: change.uid < 0 ? uid : change.uid, gid: change.gid < 0 ? gid : change.gid }
}

/** Undefined: as it is. */
function ownerOf(layer: RawLayer, node: TreeNode, lower: TreeView, creator: Owner | undefined): Owner | undefined {
  const carries = node.type === 'file' || node.type === 'directory'
  if (carries && (creator === undefined || MOUNT_POINTS.has(keyOf(node)) || isCopiedUp(layer, node))) return undefined
  const below = nodeAt(lower, keyOf(node))
  if (below === undefined || below.type !== node.type) return creator
  // One that was made anew over another is opaque.
  if (node.type === 'directory') return isOpaqueIn(layer, node) ? creator : undefined
  if (carries) return below.stat.nlink > 1 ? undefined : creator
  const same = node.type !== 'symlink' || layer.readlink(node).equals(lower.readlink(below))
  return same ? { uid: below.stat.uid, gid: below.stat.gid } : creator
}

/** By its real path. */
function nodeAt(view: TreeView, key: Key): TreeNode | undefined {
  let node: TreeNode | undefined = view.root
  for (const name of key.split('/')) node = node?.type === 'directory' ? view.child(node, name) : undefined
  return node
}

function isCopiedUp(layer: RawLayer, node: TreeNode): boolean {
  const key = keyOf(node)
  const fd = layer.fds.fd(parentKey(key))
  return ORIGIN_XATTRS.some((name) => sys().getxattrat(fd, bytes(nameOf(key)), name) !== null)
}

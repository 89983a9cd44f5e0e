import type { Name } from '../base/sys-values.ts'
import { makeDirectory, notDirectory } from './directories.ts'
import { keyOf } from './node.ts'
import { joinKey, type Key } from './path.ts'
import { resolveIn } from './resolve.ts'
import type { TreeNode } from './types.ts'
import type { LayerWriter } from './writer.ts'

/**
 * A layer's tar is applied by itself, in a directory of its own (containerd's archive.Apply, docker's overlay2): its paths go through symlinks that it has,
 * never through those of the layers below. `bin/x` over a lower `bin -> usr/bin` makes a directory `bin`, which hides the link.
 */

/** All missing directories of a path. One that is below is brought up; one that is made instead of a symlink has owner and mode of where that led. */
export function makeLayerDirectories(writer: LayerWriter, path: Name): Key {
  const { node, parent, missing, obstacle } = resolveIn(writer.ownLayer, path, true)
  if (obstacle !== undefined || (node !== undefined && node.type !== 'directory')) throw notDirectory(path, obstacle ?? node ?? parent)
  let key = keyOf(parent)
  for (const name of missing) {
    key = joinKey(key, name)
    if (writer.at(key)?.type === 'directory') writer.upperFd(key)
    else makeDirectory(writer, key, writer.hiddenDirectory(key) ?? { uid: 0, gid: 0 })
  }
  return key
}

/** What a hard link names: a file of this layer, or one that the layers below have at that very path. The last component is not followed. */
export function findInLayer(writer: LayerWriter, path: Name): TreeNode | undefined {
  const { node, parent, missing, obstacle } = resolveIn(writer.ownLayer, path, false)
  if (node !== undefined || obstacle !== undefined) return node
  let found: TreeNode | undefined = parent
  for (const name of missing) found = found?.type === 'directory' ? writer.child(found, name) : undefined
  return found
}

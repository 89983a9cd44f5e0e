import type { DirectoryFds } from './directory-fds.ts'
import { isWhiteout, keyOf } from './node.ts'
import type { TreeNode } from './types.ts'
import { isOpaque, LayeredView } from './view.ts'

/** One layer directory as it is on disk, whiteouts and opaque marks visible. */
export interface RawLayer extends LayeredView {
  isWhiteout(node: TreeNode): boolean
  readonly directories: DirectoryFds
}

class RawLayerView extends LayeredView implements RawLayer {
  constructor(path: string) {
    super([path], { overlay: false, owners: true })
  }

  get directories(): DirectoryFds {
    return this.fds[0] as DirectoryFds
  }

  isWhiteout(node: TreeNode): boolean {
    return (node.type === 'character' || node.type === 'socket') && isWhiteout(node.stat)
  }
}

export function rawLayer(path: string): RawLayer {
  return new RawLayerView(path)
}

export function isOpaqueIn(layer: LayeredView, directory: TreeNode): boolean {
  const [fds] = layer.fds
  return fds !== undefined && isOpaque(fds, keyOf(directory))
}

import type { DirectoryFds } from './directory-fds.ts'
import { ViewLayer } from './layer-chain.ts'
import { isWhiteout, keyOf } from './node.ts'
import { isOpaque } from './opaque.ts'
import type { TreeNode } from './types.ts'
import { LayeredView } from './view.ts'

/** One layer directory as it is on disk, whiteouts and opaque marks visible. */
export class RawLayer extends LayeredView {
  readonly fds: DirectoryFds

  constructor(layer: ViewLayer) {
    super(layer, 1, { overlay: false, owners: true })
    this.fds = layer.fds
  }

  isWhiteout(node: TreeNode): boolean {
    return (node.type === 'character' || node.type === 'socket') && isWhiteout(node.stat)
  }

  close(): void {
    this.fds.close()
  }
}

export function rawLayer(path: string): RawLayer {
  return new RawLayer(new ViewLayer(path))
}

export function isOpaqueIn({ fds }: RawLayer, directory: TreeNode): boolean {
  return isOpaque(fds, keyOf(directory))
}

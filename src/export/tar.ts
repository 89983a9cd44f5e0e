import { read as readCallback } from 'node:fs'
import { promisify } from 'node:util'
import { sys } from '../base/sys.ts'
import type { Sink } from '../caller/caller.ts'
import { writeTo } from '../caller/sinks.ts'
import type { TarEntry, TarItem } from '../tar/types.ts'
import { writeTar } from '../tar/write.ts'
import type { TreeNode, TreeView } from '../tree/types.ts'
import { type ExportedTree, type WalkedNode, walkTree } from './walk.ts'

const read = promisify(readCallback)

/** `-o type=tar`: root file systems as one flat tar, entries sorted by their bytes, without the roots themselves. */
export async function exportTar(trees: readonly ExportedTree[], sink: Pick<Sink, 'write'>): Promise<void> {
  await writeTo(sink, writeTar(treeItems(trees)))
}

/** The second name of an inode is a hard link to the first (L6). */
export function* treeItems(trees: readonly ExportedTree[]): Generator<TarItem> {
  for (const tree of trees) {
    if (tree.folder !== undefined) yield folderItem(tree)
    for (const walked of walkTree(tree.view)) yield toItem(tree, walked)
  }
}

function folderItem({ folder, epoch }: ExportedTree): TarItem {
  const entry: TarEntry = {
    ...{ name: Buffer.from(folder as string), type: 'directory', mode: 0o755, uid: 0, gid: 0, size: 0, mtime: epoch ?? 0 },
  }
  return { entry, content: nothing() }
}

function toItem({ view, folder, epoch, nanoseconds }: ExportedTree, { node, linkTo }: WalkedNode): TarItem {
  const { stat } = node
  const below = (path: Buffer) => (folder === undefined ? path : Buffer.concat([Buffer.from(`${folder}/`), path]))
  const type = linkTo !== undefined ? 'link' : (node.type as TarEntry['type'])
  const linkname = linkTo !== undefined ? below(linkTo) : type === 'symlink' ? view.readlink(node) : undefined
  const xattrs = linkTo === undefined ? view.xattrs(node) : new Map<string, Buffer>()
  const entry: TarEntry = {
    ...{ name: below(node.path), type, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, mtime: epoch ?? stat.mtimeSeconds },
    size: type === 'file' ? stat.size : 0,
    ...(nanoseconds === true && epoch === undefined ? { mtimeNanoseconds: stat.mtimeNanoseconds } : {}),
    ...(linkname === undefined ? {} : { linkname }),
    ...(type === 'character' || type === 'block' ? { major: stat.rdevMajor, minor: stat.rdevMinor } : {}),
    ...(xattrs.size === 0 ? {} : { xattrs }),
  }
  return { entry, content: type === 'file' ? content(view, node) : nothing() }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

async function* content(view: TreeView, node: TreeNode): AsyncGenerator<Uint8Array> {
  const fd = view.open(node)
  try {
    for (;;) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(Math.max(node.stat.size, 1), 256 * 1024))
      const { bytesRead } = await read(fd, buffer, 0, buffer.length, null)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    sys().close(fd)
  }
}

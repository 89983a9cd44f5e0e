import { read as readCallback } from 'node:fs'
import { promisify } from 'node:util'
import { sys } from '../base/sys.ts'
import type { TarEntry, TarItem } from '../tar/types.ts'
import { writeTar } from '../tar/write.ts'
import type { TreeNode, TreeView } from '../tree/types.ts'
import { type Sink, writeSink } from './sink.ts'

const read = promisify(readCallback)

/** `-o type=tar`: the root file system as one flat tar, entries sorted by their bytes, without the root itself. */
export async function exportTar(view: TreeView, sink: Sink): Promise<void> {
  await writeSink(sink, writeTar(treeItems(view)))
}

/** All entries below the root, parents first; the second name of an inode is a hard link to the first (L6). Sockets have no form in a tar (F24). */
export function* treeItems(view: TreeView): Generator<TarItem> {
  const root = view.resolve('/')
  const linked = new Map<string, Buffer>()
  // A stack and not recursion: the depth of a tree is the image's to choose.
  const stack = root === undefined ? [] : view.children(root).reverse()
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (node.type === 'directory') stack.push(...view.children(node).reverse())
    if (node.type !== 'socket') yield toItem(view, node, linked)
  }
}

function toItem(view: TreeView, node: TreeNode, linked: Map<string, Buffer>): TarItem {
  const { stat } = node
  const shared = node.type !== 'directory' && stat.nlink > 1 ? view.inode(node) : undefined
  const first = shared === undefined ? undefined : linked.get(shared)
  if (shared !== undefined && first === undefined) linked.set(shared, node.path)
  const type = first !== undefined ? 'link' : (node.type as TarEntry['type'])
  const linkname = first ?? (type === 'symlink' ? view.readlink(node) : undefined)
  const xattrs = first === undefined ? view.xattrs(node) : new Map<string, Buffer>()
  const entry: TarEntry = {
    ...{ name: node.path, type, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, mtime: stat.mtimeSeconds },
    size: type === 'file' ? stat.size : 0,
    ...(linkname === undefined ? {} : { linkname }),
    ...(type === 'character' || type === 'block' ? { major: stat.rdevMajor, minor: stat.rdevMinor } : {}),
    ...(xattrs.size === 0 ? {} : { xattrs }),
  }
  return { entry, content: content(view, node) }
}

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

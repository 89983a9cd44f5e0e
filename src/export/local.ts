import { mkdir } from 'node:fs/promises'
import { errorCode, TbuildError } from '../base/errors.ts'
import { sys } from '../base/sys.ts'
import { S_IFMT } from '../base/sys-constants.ts'
import { TimeSlice } from '../base/time-slice.ts'
import { copyContent } from '../tree/content.ts'
import { type Metadata, type Time, timeOf } from '../tree/metadata.ts'
import { joinKey, type Key, latin1 } from '../tree/path.ts'
import type { TreeNode, TreeView } from '../tree/types.ts'
import { directoryWriter, type LayerWriter } from '../tree/writer.ts'
import { type ExportedTree, walkTree } from './walk.ts'

/**
 * `-o type=local`: root file systems merged into a directory of the host, as BuildKit's client writes them (fsutil's disk writer): directories merge and get
 * the image's mode, anything else in the way of an entry is removed, what the image does not have stays. All files belong to the caller, whoever
 * owned them in the image; modes, times and xattrs are the image's.
 *
 * `dest` itself is the caller's word and may be a symlink. Below it no symlink is ever followed (73c67671d: a directory that holds symlinks): each component
 * is opened from its parent without following, so nothing outside is written, whatever lies there or is put there meanwhile.
 */
export async function exportLocal(trees: readonly ExportedTree[], dest: string, signal?: AbortSignal): Promise<void> {
  refuseOverwriting(trees)
  await makeDestination(dest)
  const writer = directoryWriter(dest)
  const slice = new TimeSlice(signal)
  try {
    for (const tree of trees) {
      const copy = new TreeCopy(writer, tree, slice)
      await copy.run()
    }
  } finally {
    writer.finish()
  }
}

async function makeDestination(dest: string): Promise<void> {
  try {
    // Private, as buildx makes it; one that is there keeps its mode.
    await mkdir(dest, { recursive: true, mode: 0o700 })
  } catch (error) {
    if (errorCode(error) !== 'EEXIST' && errorCode(error) !== 'ENOTDIR') throw error
    throw new TbuildError('EXPORT_DEST_NOT_DIRECTORY', `${dest} is not a directory`, { cause: error })
  }
}

/** Several platforms in one directory: no file may stand for two. */
function refuseOverwriting(trees: readonly ExportedTree[]): void {
  const top = trees.filter(({ folder }) => folder === undefined)
  if (top.length < 2) return
  const seen = new Set<string>()
  for (const { view } of top) {
    for (const { node } of walkTree(view)) {
      const path = latin1(node.path)
      if (node.type !== 'directory' && seen.has(path)) {
        throw new TbuildError(
          'EXPORT_OVERWRITE',
          `cannot overwrite ${node.path} of one platform with that of another when platform-split is off`,
          {
            hint: 'leave out platform-split=false',
          },
        )
      }
      seen.add(path)
    }
  }
}

class TreeCopy {
  readonly #writer: LayerWriter
  readonly #tree: ExportedTree
  readonly #slice: TimeSlice
  readonly #owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }

  constructor(writer: LayerWriter, tree: ExportedTree, slice: TimeSlice) {
    this.#writer = writer
    this.#tree = tree
    this.#slice = slice
  }

  async run(): Promise<void> {
    const { view, folder, epoch } = this.#tree
    if (folder !== undefined) {
      this.#directory(latin1(folder), { ...this.#owner, mode: 0o755 }, { seconds: epoch ?? 0, nanoseconds: 0 })
    }
    for (const { node, linkTo } of walkTree(view)) {
      if (this.#slice.isOver()) await this.#slice.yield()
      const key = this.#key(node.path)
      const { time, ...metadata } = this.#metadata(node)
      if (node.type === 'directory') this.#directory(key, metadata, time)
      else if (linkTo !== undefined) this.#writer.linkUpper(key, this.#key(linkTo))
      else if (node.type === 'file') await this.#file(view, node, key)
      else this.#special(view, node, key)
    }
  }

  #key(path: Buffer): Key {
    const { folder } = this.#tree
    return folder === undefined ? latin1(path) : joinKey(latin1(folder), latin1(path))
  }

  #metadata(node: TreeNode): Metadata & { readonly time: Time } {
    const { view, epoch } = this.#tree
    const time = epoch === undefined ? timeOf(node.stat) : { seconds: epoch, nanoseconds: 0 }
    return { ...this.#owner, mode: node.stat.mode & 0o7777, time, xattrs: view.xattrs(node) }
  }

  #directory(key: Key, metadata: Metadata, time: Time): void {
    if (this.#writer.at(key)?.type !== 'directory') this.#writer.directory(key, 0o700)
    this.#writer.setMetadata(key, 'directory', metadata)
    this.#writer.laterTimes(key, time)
  }

  async #file(view: TreeView, node: TreeNode, key: Key): Promise<void> {
    const from = view.open(node)
    try {
      const to = this.#writer.file(key)
      try {
        await copyContent(from, to, this.#slice)
        this.#writer.setFileMetadata(key, to, this.#metadata(node))
      } finally {
        sys().close(to)
      }
    } finally {
      sys().close(from)
    }
  }

  #special(view: TreeView, node: TreeNode, key: Key): void {
    try {
      if (node.type === 'symlink') this.#writer.symlink(key, view.readlink(node))
      else this.#writer.node(key, node.stat.mode & (S_IFMT | 0o700), node.stat.rdevMajor, node.stat.rdevMinor)
    } catch (error) {
      if (errorCode(error) !== 'EPERM') throw error
      throw new TbuildError('EXPORT_DEVICE', `cannot make the device ${node.path} in the output directory: ${(error as Error).message}`, {
        hint: 'devices need root; -o type=tar writes them into an archive',
        cause: error,
      })
    }
    this.#writer.setMetadata(key, node.type, this.#metadata(node))
  }
}

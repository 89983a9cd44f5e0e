import { mkdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorCode } from '../base/errors.ts'
import { sys } from '../base/sys.ts'
import { AT_FDCWD, S_IFMT } from '../base/sys-constants.ts'
import type { Name, SysStat } from '../base/sys-values.ts'
import { TimeSlice } from '../base/time-slice.ts'
import { COPIED_XATTR, LayerOwners } from '../store/layer-owners.ts'
import { idMap } from '../values/id-map.ts'
import { BatchCopier } from './batch-copier.ts'
import { copyContent } from './content.ts'
import { isAttributeRefused, type Metadata, timeOf } from './metadata.ts'
import { keyOf } from './node.ts'
import { bytes, joinKey, type Key, nameOf, parentKey } from './path.ts'
import type { TreeNode, TreeView } from './types.ts'
import { emptyView } from './view.ts'
import { type LayerWriter, layerWriter } from './writer.ts'
import { readXattrs } from './xattrs.ts'

/** What is known of a copy of a tree, to tell later what was changed in it. */
export interface NativeRoot {
  readonly directory: string
  /** Inodes of its directories: one that is another inode came from elsewhere. */
  readonly directories: ReadonlyMap<Key, number>
  /** Devices that may not be made here. */
  readonly omitted: ReadonlySet<Key>
  /** Change times (which nobody can set) from `begun` on and before `settled` are those of the copying. */
  readonly begun: ChangeTime
  readonly settled: ChangeTime
}

/** Seconds and nanoseconds. */
export type ChangeTime = readonly [number, number]

export const changeTime = (stat: SysStat): ChangeTime => [stat.ctimeSeconds, stat.ctimeNanoseconds]
export const isBefore = (a: ChangeTime, b: ChangeTime): boolean => a[0] < b[0] || (a[0] === b[0] && a[1] < b[1])

/**
 * Copies a tree into a new directory on the file system of the store, for a RUN where no overlay can be mounted. Contents are shared where the file system
 * can (reflinks); hard links are not kept: in an overlay, too, a change of one name is none of the others.
 */
export async function nativeRoot(view: TreeView, directory: string, signal?: AbortSignal): Promise<NativeRoot> {
  mkdirSync(directory)
  if (!idMap().whole) activateOwners(directory)
  const begun = touched(directory)
  const copy = new NativeCopy(view, layerWriter(directory, emptyView()), signal)
  // Whatever its mode is below, as a new layer's.
  await copy.run(view.root, { ...metadataOf(view.root), mode: 0o755 })
  return { directory, directories: copy.directories, omitted: copy.omitted, begun, settled: await settle(directory) }
}

/** The command may give a directory to whom only data can name. */
function activateOwners(directory: string): void {
  const owners = LayerOwners.of(directory)
  owners.activate()
  owners.save()
}

/** Copies what a path of a tree names, a directory or a file; returns where it is in the new directory. Undefined when there is nothing. */
export async function nativePart(view: TreeView, path: string, directory: string, signal?: AbortSignal): Promise<string | undefined> {
  const node = view.resolve(path, { follow: true })
  if (node === undefined) return undefined
  mkdirSync(directory)
  const writer = layerWriter(directory, emptyView())
  const copy = new NativeCopy(view, writer, signal)
  if (node.type === 'directory') await copy.run(node, metadataOf(node))
  else await copy.other(node, 'file')
  writer.finish()
  return node.type === 'directory' ? '/' : '/file'
}

/** The time of a change that is made now. */
function touched(directory: string): ChangeTime {
  const { mtimeSeconds, mtimeNanoseconds } = sys().statat(AT_FDCWD, directory)
  sys().utimesat(AT_FDCWD, directory, mtimeSeconds, mtimeNanoseconds)
  return changeTime(sys().statat(AT_FDCWD, directory))
}

/** The kernel's clock goes on in steps of some milliseconds: waits for the next one, so that no later change has a time of the copying. */
async function settle(directory: string): Promise<ChangeTime> {
  const last = touched(directory)
  for (;;) {
    const now = touched(directory)
    if (isBefore(last, now)) return now
    await sleep(1)
  }
}

class NativeCopy {
  readonly directories = new Map<Key, number>()
  readonly omitted = new Set<Key>()
  readonly #view: TreeView
  readonly #writer: LayerWriter
  readonly #plain: BatchCopier
  readonly #slice: TimeSlice
  /** Files of batches that have to be marked; nobody asks where all owners are on disk. */
  readonly #unmarked: Key[] | undefined = idMap().whole ? undefined : []

  constructor(view: TreeView, writer: LayerWriter, signal: AbortSignal | undefined) {
    this.#view = view
    this.#writer = writer
    this.#plain = new BatchCopier(view, writer)
    this.#slice = new TimeSlice(signal)
  }

  async run(root: TreeNode, { time, ...metadata }: Metadata): Promise<void> {
    this.#writer.setMetadata('', 'directory', { ...metadata, xattrs: this.#view.xattrs(root) })
    if (time !== undefined) this.#writer.laterTimes('', time)
    try {
      const pending: { node: TreeNode; key: Key }[] = [{ node: root, key: '' }]
      for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
        for (const node of this.#view.children(at.node)) {
          if (this.#slice.isOver()) await this.#slice.yield()
          const key = joinKey(at.key, nameOf(keyOf(node)))
          if (node.type === 'directory') {
            this.#directory(node, key)
            pending.push({ node, key })
          } else if (node.type === 'file' && this.#plain.takes(node, key, metadataOf(node))) {
            await this.#plain.add(node, key, metadataOf(node))
            this.#unmarked?.push(key)
          } else await this.other(node, key)
        }
      }
      for (const { node, key } of await this.#plain.finish()) await this.other(node, key)
      for (const key of this.#unmarked ?? []) this.#mark(this.#writer.upperFd(parentKey(key)), bytes(nameOf(key)))
    } finally {
      await this.#plain.idle()
    }
    this.#writer.finish()
  }

  #directory(node: TreeNode, key: Key): void {
    this.#writer.directory(key, 0o700)
    const { time, ...metadata } = metadataOf(node)
    this.#writer.setMetadata(key, 'directory', { ...metadata, xattrs: this.#view.xattrs(node) })
    if (time !== undefined) this.#writer.laterTimes(key, time)
    this.directories.set(key, this.#writer.statUpper(key).ino)
  }

  /** Anything but a directory. */
  async other(node: TreeNode, key: Key): Promise<void> {
    if (node.type === 'file') return this.#file(node, key)
    const { mode, rdevMajor, rdevMinor } = node.stat
    if (node.type === 'symlink') this.#writer.symlink(key, this.#view.readlink(node))
    else if (!this.#node(key, mode & (S_IFMT | 0o7777), rdevMajor, rdevMinor)) return
    this.#writer.setMetadata(key, node.type, { ...metadataOf(node), xattrs: this.#view.xattrs(node) })
  }

  #mark(dirfd: number, name: Name): void {
    try {
      sys().setxattrat(dirfd, name, COPIED_XATTR, Buffer.alloc(0))
    } catch (error) {
      if (!isAttributeRefused(error)) throw error
    }
  }

  /** False: it cannot be made, and no command could open it either. */
  #node(key: Key, mode: number, major: number, minor: number): boolean {
    try {
      this.#writer.node(key, mode, major, minor)
      return true
    } catch (error) {
      if (errorCode(error) !== 'EPERM') throw error
      this.omitted.add(key)
      return false
    }
  }

  async #file(node: TreeNode, key: Key): Promise<void> {
    const from = this.#view.open(node)
    try {
      const to = this.#writer.file(key)
      try {
        await copyContent(from, to, this.#slice)
        this.#writer.setFileMetadata(key, to, { ...metadataOf(node), xattrs: readXattrs(from, '') })
        if (this.#unmarked !== undefined) this.#mark(to, '')
      } finally {
        sys().close(to)
      }
    } finally {
      sys().close(from)
    }
  }
}

function metadataOf({ stat }: TreeNode): Metadata {
  return { mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, time: timeOf(stat) }
}

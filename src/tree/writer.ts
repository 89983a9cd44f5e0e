import { errorCode, TbuildError } from '../base/errors.ts'
import { sys } from '../base/sys.ts'
import { AT_REMOVEDIR, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY, S_IFCHR, S_IFDIR, S_IFMT, S_IFSOCK } from '../base/sys-constants.ts'
import { LayerOwners, type Owner } from '../store/layer-owners.ts'
import type { DeferredFile } from './deferred-files.ts'
import { DirectoryFds } from './directory-fds.ts'
import { type Directory, type MergedNode, MergedTree } from './merged-tree.ts'
import { applyMetadata, type Metadata, type Time, timeOf } from './metadata.ts'
import type { NodeType } from './node.ts'
import { markOpaque } from './opaque.ts'
import { bytes, isBelow, joinKey, type Key, latin1, nameOf, parentKey, shown } from './path.ts'
import type { TreeNode, TreeView } from './types.ts'
import { emptyView } from './view.ts'

/**
 * Writes an upper directory in overlayfs's format over a view: what a mount of overlayfs would leave there, without mounting. As a TreeView it shows the
 * merged result so far. Every path is a real one (no symlinks on the way: ask `resolve` first); parents that exist only below are copied up.
 *
 *   const writer = layerWriter(upper, layeredView(lower))
 *   writer.directory('etc/app', { mode: 0o755 }) … writer.file('etc/app/x') → fd …  writer.finish()
 */
export function layerWriter(upper: string, lower: TreeView): LayerWriter {
  return new LayerWriter(DirectoryFds.at(upper), LayerOwners.of(upper), lower, lower.root)
}

/** The same over nothing in a directory that is no layer's: owners that cannot be on disk are dropped. */
export function directoryWriter(directory: string): LayerWriter {
  const nothing = emptyView()
  return new LayerWriter(DirectoryFds.at(directory), LayerOwners.none(), nothing, nothing.root)
}

/** Names that are remembered at the most, so that memory does not grow with the files of a layer. */
const MANY_NAMES = 1 << 15

export class LayerWriter extends MergedTree {
  /** Times of directories that are set when all is written. */
  readonly #times = new Map<Key, Time>()
  /** About how many of them `directories` has. */
  #names = 0
  /** How often something of this layer was removed or replaced: what was known of paths through it may be wrong since. */
  removals = 0

  /** The same upper directory over nothing: what --link writes does not depend on what is below. */
  detached(empty: TreeView): LayerWriter {
    return new LayerWriter(this.fds.below(''), this.owners, empty, undefined)
  }

  /** A writer whose root is a directory of this one, as after chroot(2). This one must not be used before the other has finished. */
  below(key: Key): LayerWriter {
    this.#upperDirectory(key)
    const { lower } = this.known(key)
    for (const known of this.directories.keys()) if (known !== key && isBelow(known, key)) this.directories.delete(known)
    this.fds.forget(key)
    delete this.known(key).names
    return new LayerWriter(this.fds.below(key), this.owners.below(key), this.lower, lower)
  }

  /** An O_PATH fd of a directory in upper, copied up with its metadata when it exists only below. */
  #upperDirectory(key: Key): number {
    this.#bringUp(key)
    return this.fds.fd(key)
  }

  #bringUp(key: Key): void {
    const directory = this.known(key)
    if (!directory.upper) this.#copyUpDirectory(key, directory)
  }

  #copyUpDirectory(key: Key, directory: Directory): void {
    const lower = directory.lower as TreeNode
    this.#keepingTimes(parentKey(key), (fd) => {
      sys().mkdirat(fd, bytes(nameOf(key)), 0o700)
      directory.upper = true
      directory.names = new Set()
      this.newName(key)
      const { stat } = lower
      applyMetadata(this.owners, { dirfd: fd, name: bytes(nameOf(key)), key }, 'directory', {
        ...{ mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, time: timeOf(stat), xattrs: this.lower.xattrs(lower) },
      })
    })
  }

  /** As overlayfs does: bringing something up is no change of the directory that holds it. What another thread is making there is one, whenever it comes. */
  #keepingTimes(parent: Key, action: (fd: number) => void): void {
    const fd = this.#upperDirectory(parent)
    const before = timeOf(this.statUpper(parent))
    action(fd)
    for (const key of this.expected) if (parentKey(key) === parent) return
    this.setTimes(parent, before)
  }

  setTimes(key: Key, time: Time): void {
    // An O_PATH descriptor has no times to set; "." of it has.
    const name = key === '' ? '.' : bytes(nameOf(key))
    sys().utimesat(this.fds.fd(parentKey(key)), name, time.seconds, time.nanoseconds)
  }

  /** Runs `create` in the upper parent; when the name is taken there, what has it is removed first. */
  #create<T>(key: Key, create: (parentFd: number, name: Buffer) => T): T {
    const name = bytes(nameOf(key))
    const fd = this.#upperDirectory(parentKey(key))
    if (this.directories.has(key)) this.#forget(key)
    this.deferred.delete(key)
    this.newName(key)
    try {
      return create(fd, name)
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error
      this.#removeUpper(key)
      return create(this.fds.fd(parentKey(key)), name)
    }
  }

  /** Whether this layer has nothing there: to make it replaces nothing on the disk. */
  isFree(key: Key): boolean {
    if (this.expected.has(key) || this.deferred.at(parentKey(key), nameOf(key)) !== undefined) return false
    const { names } = this.known(parentKey(key))
    return names === undefined
      ? sys().lookupat(this.#upperDirectory(parentKey(key)), bytes(nameOf(key))) === undefined
      : !names.has(nameOf(key))
  }

  /** Says that another thread makes a file here, where nothing is. Its directory is brought up. */
  expect(key: Key): void {
    this.#bringUp(parentKey(key))
    this.newName(key)
    this.expected.add(key)
  }

  isExpected(key: Key): boolean {
    return this.expected.has(key)
  }

  /** It is there, or could not be made. */
  arrived(key: Key): void {
    this.expected.delete(key)
  }

  /** Says that something is made here, where nothing is, by other means than this writer. */
  newName(key: Key): void {
    const names = this.directories.get(parentKey(key))?.names
    if (names === undefined) return
    // A part of a string keeps the whole.
    names.add(latin1(bytes(nameOf(key))))
    this.#names += 1
    if (this.#names > MANY_NAMES) this.#forgetNames(names)
  }

  /** All but those of the directory at hand, if they are few: those that were made before are seldom written into again, and can be asked for. */
  #forgetNames(current: Set<Key>): void {
    const kept = current.size <= MANY_NAMES / 2 ? current : undefined
    for (const directory of this.directories.values()) if (directory.names !== kept) delete directory.names
    this.#names = kept?.size ?? 0
  }

  /** For a directory in which files are deferred: making them would bring it up and change its time. */
  touch(key: Key): void {
    this.#upperDirectory(key)
    this.setTimes(key, now())
  }

  /** A file in a place where nothing is, which is not written: it counts as if it were. */
  defer(key: Key, file: DeferredFile): void {
    this.deferred.add(key, file)
    this.newName(key)
  }

  /** Owner and mode of the directory that the layers below have there, symlinks followed, and that this layer has not removed. */
  hiddenDirectory(key: Key): { uid: number; gid: number; mode: number } | undefined {
    if (sys().lookupat(this.fds.fd(parentKey(key)), bytes(nameOf(key))) !== undefined) return undefined
    try {
      const below = this.lower.resolve(bytes(key), { follow: true })
      return below?.type === 'directory' ? { uid: below.stat.uid, gid: below.stat.gid, mode: below.stat.mode & 0o7777 } : undefined
    } catch (error) {
      if (errorCode(error) === 'ELOOP') return undefined
      throw error
    }
  }

  /** Whether the layers below have something in a directory that exists, for a whiteout to hide. */
  merges(key: Key): boolean {
    return this.known(key).lower !== undefined
  }

  /** Says that what was here is gone, by other means than this writer. */
  goneName(key: Key): void {
    this.#forget(key)
    this.fds.forget(key)
    this.directories.get(parentKey(key))?.names?.delete(nameOf(key))
  }

  /** An O_PATH descriptor of a directory in upper, brought up when needed; valid until another is asked for. */
  upperFd(key: Key): number {
    return this.#upperDirectory(key)
  }

  /** A new, empty regular file in the place of anything; the caller writes it, calls `setFileMetadata` and closes it. */
  file(key: Key, mode = 0o600): number {
    return this.#create(key, (fd, name) => sys().openat(fd, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, mode))
  }

  symlink(key: Key, target: Uint8Array): void {
    this.#create(key, (fd, name) => sys().symlinkat(target, fd, name))
  }

  /** Device, fifo or socket: `mode` with its S_IF bits. */
  node(key: Key, mode: number, major: number, minor: number): void {
    if ((mode & S_IFMT) === S_IFCHR && major === 0 && minor === 0) {
      throw new TbuildError('DEVICE_REFUSED', `/${shown(key)} is the character device 0/0, by which overlayfs marks a removed file`)
    }
    this.#create(key, (fd, name) => sys().mknodat(fd, name, mode, major, minor))
  }

  /** A second name for an existing file; one that is only below is copied up first. */
  async link(key: Key, existing: TreeNode, copyContent: (from: number, to: number) => Promise<void>): Promise<void> {
    const source = this.own(existing)
    if (!source.upper) await this.#copyUpFile(source, copyContent)
    this.linkUpper(key, source.key)
  }

  /** A second name for a file that this writer made. */
  linkUpper(key: Key, existing: Key): void {
    const from = this.#upperDirectory(parentKey(existing))
    this.#create(key, (fd, name) => sys().linkat(from, bytes(nameOf(existing)), fd, name, 0))
    this.owners.link(key, existing)
  }

  async #copyUpFile(node: MergedNode, copyContent: (from: number, to: number) => Promise<void>): Promise<void> {
    const { key, stat, type } = node
    const lower = node.lower as TreeNode
    const parent = parentKey(key)
    this.#upperDirectory(parent)
    const before = timeOf(this.statUpper(parent))
    if (type === 'file') {
      const from = this.lower.open(lower)
      try {
        const to = this.file(key)
        try {
          await copyContent(from, to)
        } finally {
          sys().close(to)
        }
      } finally {
        sys().close(from)
      }
    } else if (type === 'symlink') this.symlink(key, this.lower.readlink(lower))
    else this.node(key, stat.mode & (S_IFMT | 0o7777), stat.rdevMajor, stat.rdevMinor)
    const { mode, uid, gid } = stat
    this.setMetadata(key, type, { mode: mode & 0o7777, uid, gid, time: timeOf(stat), xattrs: this.lower.xattrs(lower) })
    this.setTimes(parent, before)
  }

  /** A new directory in the place of anything; nothing below shows through. The kernel's rules give owner and setgid bit until `setMetadata`. */
  directory(key: Key, mode = 0o755): void {
    const parent = this.known(parentKey(key))
    const hides = parent.lower !== undefined && this.lower.child(parent.lower, nameOf(key))?.type === 'directory'
    this.#create(key, (fd, name) => sys().mkdirat(fd, name, mode))
    this.directories.set(key, { upper: true, lower: undefined, names: new Set() })
    if (hides) markOpaque(this.fds, key)
  }

  /** Hides what the layers below have in this directory (an existing one). */
  opaque(key: Key): void {
    this.#upperDirectory(key)
    this.directories.set(key, { upper: true, lower: undefined })
    for (const known of this.directories.keys()) if (known !== key && isBelow(known, key)) this.directories.delete(known)
    markOpaque(this.fds, key)
  }

  /** Owner first, for it clears setuid bits and capabilities; then mode, attributes, times. */
  setMetadata(key: Key, type: NodeType, metadata: Metadata): void {
    if (key === '') applyMetadata(this.owners, { dirfd: this.fds.fd(''), name: '.', key }, type, metadata)
    else {
      const parent = type === 'directory' && !this.known(key).upper ? this.#parentOfCopiedUp(key) : this.fds.fd(parentKey(key))
      applyMetadata(this.owners, { dirfd: parent, name: bytes(nameOf(key)), key }, type, metadata)
    }
    if (type === 'directory' && metadata.time !== undefined && this.#times.has(key)) this.#times.set(key, metadata.time)
  }

  /** Whether a file of that owner can be on disk; otherwise its owner is kept beside it. */
  isReal(owner: Owner): boolean {
    return this.owners.isReal(owner)
  }

  /** The same for a file that is still open: cheaper than by its name. */
  setFileMetadata(key: Key, fd: number, metadata: Metadata): void {
    applyMetadata(this.owners, { dirfd: fd, name: '', key }, 'file', metadata)
  }

  #parentOfCopiedUp(key: Key): number {
    this.#upperDirectory(key)
    return this.fds.fd(parentKey(key))
  }

  /** Sets a directory's times when all is written: whatever is made in it changes them. */
  laterTimes(key: Key, time: Time): void {
    this.#bringUp(key)
    this.#times.set(key, time)
  }

  /** Removes what the merged tree has there; false when there is nothing. */
  remove(key: Key): boolean {
    const parent = this.known(parentKey(key))
    if (parent.upper) this.#removeUpper(key)
    if (parent.lower === undefined || this.lower.child(parent.lower, nameOf(key)) === undefined) return true
    this.whiteout(key)
    return true
  }

  /** Hides a name of the layers below, whether or not they have it. What this layer itself has there stays (a directory becomes opaque). */
  whiteout(key: Key): void {
    const fd = this.#upperDirectory(parentKey(key))
    const existing = sys().lookupat(fd, bytes(nameOf(key)))
    if (existing === undefined) {
      makeWhiteout(fd, bytes(nameOf(key)))
      this.#forget(key)
      this.newName(key)
    } else if ((existing.mode & S_IFMT) === S_IFDIR) this.opaque(key)
  }

  #removeUpper(key: Key): void {
    const fd = this.fds.fd(parentKey(key))
    const stat = sys().lookupat(fd, bytes(nameOf(key)))
    if (stat === undefined) return
    this.removals += 1
    this.owners.forget(key)
    if ((stat.mode & S_IFMT) !== S_IFDIR) sys().unlinkat(fd, bytes(nameOf(key)), 0)
    else {
      this.#forget(key)
      removeDirectory(this.fds, key)
    }
  }

  #forget(key: Key): void {
    for (const known of this.directories.keys()) if (known === key || isBelow(known, key)) this.directories.delete(known)
    for (const known of this.#times.keys()) if (known === key || isBelow(known, key)) this.#times.delete(known)
  }

  /** Sets the directory times that were put off, deepest first. */
  flushTimes(): void {
    const keys = [...this.#times.keys()].sort().reverse()
    for (const key of keys) this.setTimes(key, this.#times.get(key) as Time)
    this.#times.clear()
  }

  /** Ends the writing: sets times, notes owners, closes what is open. The writer may be used again after it. */
  finish(): void {
    this.flushTimes()
    this.owners.save()
    this.fds.close()
  }
}

/** What the kernel would give a directory in which something is made. */
function now(): Time {
  const milliseconds = Date.now()
  return { seconds: Math.floor(milliseconds / 1000), nanoseconds: (milliseconds % 1000) * 1e6 }
}

function makeWhiteout(fd: number, name: Buffer): void {
  try {
    sys().mknodat(fd, name, S_IFCHR, 0, 0)
  } catch (error) {
    // An overlay keeps its own mark for itself.
    if (errorCode(error) !== 'EPERM') throw error
    sys().mknodat(fd, name, S_IFSOCK, 0, 0)
    sys().utimesat(fd, name, 0, 0)
  }
}

/** Deepest last, removed from the end: no recursion on a depth that an archive chose. */
function removeDirectory(fds: DirectoryFds, key: Key): void {
  const found: Key[] = [key]
  for (let at = 0; at < found.length; at++) {
    const directory = found[at] as Key
    for (const entry of fds.list(directory)) {
      const path = joinKey(directory, entry.name.toString('latin1'))
      const below = fds.fd(directory)
      if ((sys().statat(below, entry.name).mode & S_IFMT) === S_IFDIR) found.push(path)
      else sys().unlinkat(below, entry.name, 0)
    }
  }
  for (const directory of found.reverse()) {
    fds.forget(directory)
    sys().unlinkat(fds.fd(parentKey(directory)), bytes(nameOf(directory)), AT_REMOVEDIR)
  }
}

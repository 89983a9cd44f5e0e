import { mkdirSync, writeSync } from 'node:fs'
import { errorCode, TbuildError } from '../base/errors.ts'
import { sys } from '../base/sys.ts'
import { AT_FDCWD, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_WRONLY, S_IFCHR } from '../base/sys-constants.ts'
import { removeTree } from '../store/remove-tree.ts'
import { makeDirectories } from './directories.ts'
import { type Time, timeOf } from './metadata.ts'
import { changeTime } from './native-root.ts'
import { keyOf } from './node.ts'
import { bytes, joinKey, type Key, nameOf, parentKey } from './path.ts'
import { resolveIn } from './resolve.ts'
import { emptyView } from './view.ts'
import { type LayerWriter, layerWriter } from './writer.ts'

interface EmulatedMount {
  readonly key: Key
  /** The number under which what was there is kept. */
  readonly saved: number | undefined
  /** It, and nothing else, stays as an empty directory. */
  readonly keep: boolean
}

interface Parent {
  readonly key: Key
  readonly time: Time
  /** When all was placed: another one afterwards is the command's doing. */
  ctime: string
}

export interface PlacedFile {
  readonly data: Uint8Array
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/**
 * Puts things over others in a directory that is a root, as mounts would, and takes them away again: what was there is moved aside meanwhile. Paths are the
 * image's, resolved inside.
 */
export class EmulatedMounts {
  readonly #writer: LayerWriter
  readonly #root: string
  readonly #aside: string
  readonly #covers: EmulatedMount[] = []
  readonly #parents: Parent[] = []
  /** Directories that were made on the way. */
  readonly #made: Key[] = []

  /** `aside`: a new directory on the same file system. */
  constructor(root: string, aside: string) {
    mkdirSync(aside, { mode: 0o700 })
    this.#root = root
    this.#aside = aside
    this.#writer = layerWriter(root, emptyView())
  }

  get count(): number {
    return this.#covers.length
  }

  directory(path: string, mode: number, { keep = false } = {}): void {
    const { fd, name, key } = this.#place(path, keep)
    sys().mkdirat(fd, name, 0o700)
    this.#writer.setMetadata(key, 'directory', { mode, uid: 0, gid: 0 })
  }

  file(path: string, { data, mode, uid, gid }: PlacedFile): void {
    const { fd, name, key } = this.#place(path)
    const file = sys().openat(fd, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600)
    try {
      for (let at = 0; at < data.length; ) at += writeSync(file, data, at)
      this.#writer.setFileMetadata(key, file, { mode, uid, gid })
    } finally {
      sys().close(file)
    }
  }

  link(path: string, text: string): void {
    const { fd, name } = this.#place(path)
    sys().symlinkat(Buffer.from(text), fd, name)
  }

  /** Errors: ISOLATION. */
  device(path: string, major: number, minor: number): void {
    const { fd, name, key } = this.#place(path)
    try {
      sys().mknodat(fd, name, S_IFCHR | 0o600, major, minor)
    } catch (cause) {
      if (errorCode(cause) !== 'EPERM') throw cause
      throw new TbuildError('ISOLATION', `the device ${path} of a RUN cannot be made`, {
        hint: 'isolation chroot needs CAP_MKNOD, and a store on a file system with devices: run as root with the default capabilities of a container',
        cause,
      })
    }
    this.#writer.setMetadata(key, 'character', { mode: 0o666, uid: 0, gid: 0 })
  }

  /** What lies at a path of the host, on the same file system. */
  moved(path: string, from: string): void {
    const { fd, name } = this.#place(path)
    sys().renameat(AT_FDCWD, from.replace(/\/$/, ''), fd, name, 0)
  }

  /** Everything is placed: the times of the directories around are what they were. */
  ready(): void {
    for (const parent of this.#parents.toReversed()) this.#writer.setTimes(parent.key, parent.time)
    for (const parent of this.#parents) parent.ctime = this.#ctime(parent.key) ?? ''
    this.#writer.finish()
  }

  /** The parent of a path with the name free in it. */
  #place(path: string, keep = false): { fd: number; name: Buffer; key: Key } {
    const writer = this.#writer
    const { node, parent, missing, obstacle } = resolveIn(writer, path, true)
    if (obstacle !== undefined)
      throw new TbuildError('NOT_A_DIRECTORY', `${path} of the image lies below a file`, { hint: 'choose another mount target' })
    const key = node === undefined ? this.#makeParents(keyOf(parent), missing) : keyOf(node)
    this.#note(parentKey(key))
    const fd = writer.upperFd(parentKey(key))
    const name = bytes(nameOf(key))
    let saved: number | undefined
    if (node !== undefined) {
      saved = this.#covers.length
      const aside = sys().openat(AT_FDCWD, this.#aside, O_PATH | O_DIRECTORY, 0)
      try {
        writer.goneName(key)
        sys().renameat(fd, name, aside, String(saved), 0)
      } finally {
        sys().close(aside)
      }
    }
    writer.newName(key)
    this.#covers.push({ key, saved, keep: keep && node === undefined })
    return { fd: writer.upperFd(parentKey(key)), name, key }
  }

  #makeParents(parent: Key, missing: readonly Key[]): Key {
    let key = parent
    for (const [index, name] of missing.entries()) {
      if (index === missing.length - 1) return joinKey(key, name)
      this.#note(key)
      key = makeDirectories(this.#writer, bytes(joinKey(key, name)), { uid: 0, gid: 0 })
      this.#made.push(key)
    }
    return key
  }

  #note(key: Key): void {
    if (!this.#parents.some((known) => known.key === key)) this.#parents.push({ key, time: timeOf(this.#writer.statUpper(key)), ctime: '' })
  }

  /** By real paths, in which the command may have put other things: no link is followed. */
  #ctime(key: Key): string | undefined {
    const writer = layerWriter(this.#root, emptyView())
    try {
      return writer.at(key)?.type === 'directory' ? changeTime(writer.statUpper(key)).join('.') : undefined
    } catch {
      return undefined
    } finally {
      writer.finish()
    }
  }

  /** Takes away what was placed, puts back what was there. What the command moved away stays where it put it. */
  async remove(): Promise<void> {
    const untouched = this.#parents.filter(({ key, ctime }) => this.#ctime(key) === ctime)
    const writer = layerWriter(this.#root, emptyView())
    const aside = sys().openat(AT_FDCWD, this.#aside, O_PATH | O_DIRECTORY, 0)
    try {
      for (const { key, saved, keep } of this.#covers.toReversed()) {
        if (parentOf(writer, key) === undefined) continue
        if (writer.at(key) !== undefined) writer.remove(key)
        const fd = writer.upperFd(parentKey(key))
        if (saved !== undefined) sys().renameat(aside, String(saved), fd, bytes(nameOf(key)), 0)
        else if (keep) writer.directory(key, 0o755)
      }
      for (const key of this.#made.toReversed()) {
        const node = parentOf(writer, key) === undefined ? undefined : writer.at(key)
        if (node?.type === 'directory' && writer.children(node).length === 0) writer.remove(key)
      }
      for (const { key, time } of untouched.toReversed()) {
        if (parentOf(writer, key) !== undefined && writer.at(key)?.type === 'directory') writer.setTimes(key, time)
      }
    } finally {
      sys().close(aside)
      writer.finish()
    }
    await removeTree(this.#aside)
  }
}

/** The directory that holds a real path; undefined when it is none any more. */
function parentOf(writer: LayerWriter, key: Key): true | undefined {
  let at: Key = ''
  const names = parentKey(key)
    .split('/')
    .filter((name) => name !== '')
  for (const name of names) {
    at = joinKey(at, name)
    if (writer.at(at)?.type !== 'directory') return undefined
  }
  return true
}

import { sys } from '../base/sys.ts'
import { AT_EMPTY_PATH, S_IFREG } from '../base/sys-constants.ts'
import type { SysStat } from '../base/sys-values.ts'
import { bytes, type Key, latin1, nameOf, parentKey } from './path.ts'
import type { Listing } from './types.ts'
import { openFile } from './view.ts'

/** A regular file of a source that stands for its copy, with what the copy would get. */
export interface DeferredFile {
  readonly from: Listing
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly mtimeSeconds: number
  readonly mtimeNanoseconds: number
}

/** Raised where a layer cannot be made without its directory; it is made in the usual way then, which also tells what is wrong. */
export class NeedsDirectory extends Error {}

/** Where each number of a file stands. */
const COLUMN = { mode: 0, uid: 1, gid: 2, size: 3, mtimeSeconds: 4, mtimeNanoseconds: 5, from: 6 } as const
const COLUMNS = 7

/**
 * The plain files of a layer that are not written into its directory, since nobody needs that: the layer's tar is made of it and them together. Directories and
 * all that is not plain are in the directory. As numbers and not as objects: there may be a million of them.
 */
export class DeferredFiles {
  /** Of each directory its names and where their numbers are. */
  readonly #directories = new Map<Key, Map<Key, number>>()
  readonly #listings: Listing[] = []
  #numbers = new Float64Array(64 * COLUMNS)
  #count = 0

  add(key: Key, file: DeferredFile): void {
    const parent = parentKey(key)
    const files = this.#directories.get(parent) ?? new Map<Key, number>()
    this.#directories.set(parent, files.set(copied(nameOf(key)), this.#count))
    const at = this.#count * COLUMNS
    if (at === this.#numbers.length) {
      const larger = new Float64Array(2 * at)
      larger.set(this.#numbers)
      this.#numbers = larger
    }
    const numbers = this.#numbers
    numbers[at + COLUMN.mode] = file.mode
    numbers[at + COLUMN.uid] = file.uid
    numbers[at + COLUMN.gid] = file.gid
    numbers[at + COLUMN.size] = file.size
    numbers[at + COLUMN.mtimeSeconds] = file.mtimeSeconds
    numbers[at + COLUMN.mtimeNanoseconds] = file.mtimeNanoseconds
    if (this.#listings.at(-1) !== file.from) this.#listings.push(file.from)
    numbers[at + COLUMN.from] = this.#listings.length - 1
    this.#count += 1
  }

  delete(key: Key): void {
    this.#directories.get(parentKey(key))?.delete(nameOf(key))
  }

  at(directory: Key, name: Key): DeferredFile | undefined {
    const index = this.#directories.get(directory)?.get(name)
    return index === undefined ? undefined : this.#file(index * COLUMNS)
  }

  #file(at: number): DeferredFile {
    const numbers = this.#numbers
    return {
      from: this.#listings[numbers[at + COLUMN.from] as number] as Listing,
      mode: numbers[at + COLUMN.mode] as number,
      uid: numbers[at + COLUMN.uid] as number,
      gid: numbers[at + COLUMN.gid] as number,
      size: numbers[at + COLUMN.size] as number,
      mtimeSeconds: numbers[at + COLUMN.mtimeSeconds] as number,
      mtimeNanoseconds: numbers[at + COLUMN.mtimeNanoseconds] as number,
    }
  }

  names(directory: Key): Iterable<Key> {
    return this.#directories.get(directory)?.keys() ?? []
  }
}

/** A part of a longer string keeps all of it. */
function copied(name: Key): Key {
  return latin1(bytes(name))
}
/** As the file's copy would have it. Member by member: it is asked of every file, and to spread an object costs more than all else of that. */
export function statOfDeferred({ mode, uid, gid, size, mtimeSeconds, mtimeNanoseconds }: DeferredFile): SysStat {
  return {
    dev: 0,
    ino: 0,
    mode: S_IFREG | mode,
    nlink: 1,
    uid,
    gid,
    rdevMajor: 0,
    rdevMinor: 0,
    size,
    mtimeSeconds,
    mtimeNanoseconds,
    ctimeSeconds: 0,
    ctimeNanoseconds: 0,
  }
}

/** A descriptor with the content, as long as the file is what it was when it was deferred, and plain. `key`: of the copy, which has the same name. */
export function openDeferred({ from, size }: DeferredFile, key: Key): number {
  let fd: number
  try {
    fd = openFile(from.fd(), key)
  } catch (cause) {
    throw new NeedsDirectory('a source is gone', { cause })
  }
  if (sys().statat(fd, '', AT_EMPTY_PATH).size === size && sys().listxattrat(fd, '').length === 0) return fd
  sys().close(fd)
  throw new NeedsDirectory(`${bytes(nameOf(key))} is not plain`)
}

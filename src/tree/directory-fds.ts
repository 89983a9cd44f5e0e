import { sys } from '../base/sys.ts'
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY } from '../base/sys-constants.ts'
import type { SysDirent } from '../base/sys-values.ts'
import { bytes, type Key, nameOf, parentKey } from './path.ts'

/** Open directories over all trees; a build has many. The least recently used are closed. */
const CAPACITY = 256

interface Open {
  readonly owner: DirectoryFds
  readonly key: Key
  readonly fd: number
}

/** In order of use. */
const recent = new Map<Open, true>()

/**
 * Descriptors (O_PATH) of the directories below one directory of the host. Each component is opened from its parent with O_NOFOLLOW: whatever lies
 * in a layer, the kernel never follows a symlink for us. A descriptor is valid until CAPACITY others were asked for: use it at once.
 */
export class DirectoryFds {
  readonly #openRoot: () => number
  readonly #open = new Map<Key, Open>()

  constructor(openRoot: () => number) {
    this.#openRoot = openRoot
  }

  /** `path`: of the host, trusted, symlinks in it are followed. */
  static at(path: string): DirectoryFds {
    return new DirectoryFds(() => sys().openat(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0))
  }

  /** Closes those of all trees, for when none is likely to be read soon: an open one keeps its file system from being unmounted. What is asked for later is opened again. */
  static closeAll(): void {
    for (const open of [...recent.keys()]) open.owner.#drop(open)
  }

  /** With a directory of this one as the root. */
  below(key: Key): DirectoryFds {
    return new DirectoryFds(() => sys().openat(this.fd(key), '.', O_PATH | O_DIRECTORY, 0))
  }

  fd(key: Key): number {
    const known = this.#open.get(key)
    if (known !== undefined) {
      recent.delete(known)
      recent.set(known, true)
      return known.fd
    }
    return this.#remember(key, key === '' ? this.#openRoot() : this.#openBelow(key))
  }

  #openBelow(key: Key): number {
    const parent = parentKey(key)
    const flags = O_PATH | O_DIRECTORY | O_NOFOLLOW
    if (parent === '' || this.#open.has(parent)) return sys().openat(this.fd(parent), bytes(nameOf(key)), flags, 0)
    // From the nearest open ancestor on; those between are not kept, or a deep path would push out what is in use.
    let ancestor = parent
    while (ancestor !== '' && !this.#open.has(ancestor)) ancestor = parentKey(ancestor)
    const names = key.slice(ancestor === '' ? 0 : ancestor.length + 1).split('/')
    let fd = this.fd(ancestor)
    let own = false
    for (const name of names) {
      let next: number
      try {
        next = sys().openat(fd, bytes(name), flags, 0)
      } finally {
        if (own) sys().close(fd)
      }
      fd = next
      own = true
    }
    return fd
  }

  #remember(key: Key, fd: number): number {
    const open: Open = { owner: this, key, fd }
    this.#open.set(key, open)
    recent.set(open, true)
    if (recent.size > CAPACITY) {
      const [oldest] = recent.keys()
      if (oldest !== undefined) oldest.owner.#drop(oldest)
    }
    return fd
  }

  #drop(open: Open): void {
    recent.delete(open)
    this.#open.delete(open.key)
    sys().close(open.fd)
  }

  list(key: Key): SysDirent[] {
    const fd = sys().openat(this.fd(key), '.', O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)
    try {
      return sys().readdir(fd)
    } finally {
      sys().close(fd)
    }
  }

  /** To be called before a directory is removed or replaced: it and all below are closed. */
  forget(key: Key): void {
    for (const open of [...this.#open.values()]) if (open.key === key || key === '' || open.key.startsWith(`${key}/`)) this.#drop(open)
  }

  close(): void {
    this.forget('')
  }
}

import { closeSync, constants, lstatSync, openSync, rmdirSync, unlinkSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { errorCode } from '../base/errors.ts'
import { type Sys, sys } from '../base/sys.ts'
import type { Name } from '../base/sys-values.ts'
import { ifPresent } from './store-error.ts'

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
const AT_REMOVEDIR = 0x200
const DT_UNKNOWN = 0
const DT_DIR = 4
/** Deeper directories are moved up to the top first: descriptors stay few, whatever a RUN step built. */
const MAX_DEPTH = 32
/** Milliseconds between turns of the event loop. */
const TURN = 8

/**
 * Removes a file or a whole tree that a hostile process may have made: by descriptors, so no symlink is followed and no path is too long; names are
 * bytes; directories without permissions are opened up first. What the kernel refuses (immutable files) is left, and returned. A tree that is
 * not there is no error.
 */
export async function removeTree(path: string): Promise<Error[]> {
  const stat = ifPresent(() => lstatSync(path))
  if (stat === undefined) return []
  if (!stat.isDirectory()) return attempt(() => unlinkSync(path))
  if (isRemovedIfEmpty(path)) return []
  const parent = openSync(dirname(path), DIRECTORY)
  try {
    const top = openDirectory(parent, basename(path))
    const failures: Error[] = []
    try {
      await new Removal(top, failures).run()
    } finally {
      closeSync(top)
    }
    return failures.length > 0 ? failures : attempt(() => rmdirSync(path))
  } catch (error) {
    return errorCode(error) === 'ENOENT' ? [] : [error as Error]
  } finally {
    closeSync(parent)
  }
}

/** As the work directory of a RUN is: a call, where to look into it takes five. Why another one is not removed is seen when it is emptied. */
function isRemovedIfEmpty(directory: string): boolean {
  try {
    rmdirSync(directory)
    return true
  } catch {
    return false
  }
}

function attempt(action: () => void): Error[] {
  try {
    ifPresent(action)
    return []
  } catch (error) {
    return [error as Error]
  }
}

/** Opens a directory, also one that forbids it, ready to be emptied. */
function openDirectory(parent: number, name: Name): number {
  const own = sys()
  let fd: number
  try {
    fd = own.openat(parent, name, DIRECTORY, 0)
  } catch (error) {
    if (errorCode(error) !== 'EACCES') throw error
    // It is no symlink: opening one with O_DIRECTORY|O_NOFOLLOW gives ENOTDIR, and nobody else writes under tmp/.
    own.chmodat(parent, name, 0o700)
    return own.openat(parent, name, DIRECTORY, 0)
  }
  return fd
}

class Removal {
  readonly #top: number
  readonly #failures: Error[]
  readonly #sys: Sys = sys()
  /** Directories that were moved to the top. */
  #moved = 0
  #turn = Date.now()

  constructor(top: number, failures: Error[]) {
    this.#top = top
    this.#failures = failures
  }

  async run(): Promise<void> {
    for (;;) {
      const before = this.#moved
      await this.#empty(this.#top, 0)
      if (this.#moved === before) return
    }
  }

  async #empty(directory: number, depth: number): Promise<void> {
    let opened = false
    for (const { name, type } of this.#sys.readdir(directory)) {
      await this.#breathe()
      const remove = () =>
        type === DT_DIR || type === DT_UNKNOWN ? this.#removeMaybeDirectory(directory, name) : this.#unlink(directory, name)
      try {
        const kind = remove()
        if (kind === 'full') await this.#descend(directory, name, depth)
      } catch (error) {
        if (errorCode(error) === 'EACCES' && !opened) {
          opened = true
          this.#sys.fchmod(directory, 0o700)
          try {
            if (remove() === 'full') await this.#descend(directory, name, depth)
          } catch (again) {
            this.#fail(again)
          }
        } else this.#fail(error)
      }
    }
  }

  #fail(error: unknown): void {
    if (errorCode(error) !== 'ENOENT') this.#failures.push(error as Error)
  }

  #unlink(directory: number, name: Buffer): 'gone' {
    this.#sys.unlinkat(directory, name, 0)
    return 'gone'
  }

  #removeMaybeDirectory(directory: number, name: Buffer): 'gone' | 'full' {
    try {
      this.#sys.unlinkat(directory, name, AT_REMOVEDIR)
      return 'gone'
    } catch (error) {
      const code = errorCode(error)
      if (code === 'ENOTEMPTY' || code === 'EEXIST') return 'full'
      if (code === 'ENOTDIR') return this.#unlink(directory, name)
      throw error
    }
  }

  async #descend(directory: number, name: Buffer, depth: number): Promise<void> {
    if (depth >= MAX_DEPTH) {
      this.#moveUp(directory, name)
      return
    }
    const fd = openDirectory(directory, name)
    try {
      await this.#empty(fd, depth + 1)
    } finally {
      closeSync(fd)
    }
    try {
      this.#sys.unlinkat(directory, name, AT_REMOVEDIR)
    } catch (error) {
      // Not empty because something in it stayed: that was counted already.
      if (errorCode(error) !== 'ENOTEMPTY') this.#fail(error)
    }
  }

  #moveUp(directory: number, name: Buffer): void {
    // Moving a directory writes its `..`, which needs write permission on it.
    this.#sys.chmodat(directory, name, 0o700)
    this.#sys.renameat(directory, name, this.#top, `moved-${process.pid}-${Date.now()}-${this.#moved}`, 0)
    this.#moved++
  }

  /** A tree of a million files must not stop the progress display and the other steps. */
  async #breathe(): Promise<void> {
    if (Date.now() - this.#turn < TURN) return
    await new Promise((resolve) => setImmediate(resolve))
    this.#turn = Date.now()
  }
}

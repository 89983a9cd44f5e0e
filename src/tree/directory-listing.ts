import { sys } from '../base/sys.ts'
import type { SysDirent, SysStat } from '../base/sys-values.ts'
import type { DirectoryFds } from './directory-fds.ts'
import type { Key } from './path.ts'
import type { Listing } from './types.ts'

/**
 * What one directory listing found, for the stats of its files. The first is asked for alone, since a glob may want no more than that; with the second
 * all are asked for at once.
 */
export class DirectoryListing {
  /** For who works on its files when what was found is of no use any more: it is small. */
  readonly place: Listing
  readonly #entries: readonly SysDirent[]
  #asked = false
  #stats: (SysStat | undefined)[] | undefined

  constructor(fds: DirectoryFds, directory: Key, entries: readonly SysDirent[]) {
    this.place = { fd: () => fds.fd(directory) }
    this.#entries = entries
  }

  /** Throws ENOENT when it is gone. */
  stat(index: number): SysStat {
    if (this.#asked) this.#stats ??= sys().statEach(this.place.fd(), this.#entries)
    this.#asked = true
    return this.#stats?.[index] ?? sys().statat(this.place.fd(), (this.#entries[index] as SysDirent).name)
  }
}

import { closeSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { errorCode } from '../base/errors.ts'
import { sys } from '../base/sys.ts'
import { S_IFDIR, S_IFMT, S_IFREG } from '../base/sys-constants.ts'
import type { Name, SysStat } from '../base/sys-values.ts'
import { type IdMap, idMap } from '../values/id-map.ts'
import { ifPresent } from './store-error.ts'

/** uid:gid of a file or directory. overlayfs copies it up with the file, and it stays with a file that a RUN renames. */
export const OWNER_XATTR = 'user.tbuild.owner'

/** On a file of a copy of a root for a RUN: what was there before it, as overlayfs's mark on what it copies up. */
export const COPIED_XATTR = 'user.tbuild.copied'

export interface Owner {
  readonly uid: number
  readonly gid: number
}

/** A file of a layer: its directory and name, or a descriptor of it and ''. `key` is its path in the layer, bytes as latin1. */
export interface OwnedFile {
  readonly dirfd: number
  readonly name: Name
  readonly key: string
}

interface State {
  /** layers/<id>/owners; undefined for a directory that is no layer's, where an owner that cannot be made is dropped. */
  readonly file: string | undefined
  readonly ids: IdMap
  /** Owners of what carries no attribute: symlinks, devices, pipes, and all of a file system without user.*. Undefined: nobody's owner is data here. */
  table: Map<string, Owner> | undefined
  dirty: boolean
}

/** Errors of setxattr that mean "not on this file system, not on this kind of file". */
const NO_XATTR = new Set(['EPERM', 'EOPNOTSUPP', 'ENOTSUP'])

/**
 * The owners of one layer's files, read and written in this place only. An owner that the process's user namespace lacks cannot be on disk: the file is the
 * user's there, and its owner is data, the attribute above or a line of the file `owners` beside `fs`. Without that file, attributes mean nothing: where
 * all owners can be on disk, nobody can claim another one.
 */
export class LayerOwners {
  readonly #state: State
  readonly #prefix: string

  private constructor(state: State, prefix: string) {
    this.#state = state
    this.#prefix = prefix
  }

  /** Of a layer's `fs` directory. `ids`: for tests. */
  static of(directory: string, ids: IdMap = idMap()): LayerOwners {
    const file = basename(directory) === 'fs' && !ids.whole ? join(dirname(directory), 'owners') : undefined
    return new LayerOwners({ file, ids, table: file === undefined ? undefined : load(file), dirty: false }, '')
  }

  /** Of a directory that is no layer's, such as one of the caller's. */
  static none(): LayerOwners {
    return new LayerOwners({ file: undefined, ids: idMap(), table: undefined, dirty: false }, '')
  }

  /** The same, seen from a directory of the layer. */
  below(key: string): LayerOwners {
    return new LayerOwners(this.#state, this.#full(key))
  }

  /** Some owner is data here. */
  get active(): boolean {
    return this.#state.table !== undefined
  }

  /** Whether a file of that owner can be on disk. */
  isReal({ uid, gid }: Owner): boolean {
    return this.#state.ids.hasUid(uid) && this.#state.ids.hasGid(gid)
  }

  /** A file's metadata with its owner. */
  shown(stat: SysStat, file: OwnedFile): SysStat {
    const owner = this.#data(stat.mode, file)
    return owner === undefined || !this.#isCarrier(stat, owner) ? stat : { ...stat, ...owner }
  }

  /**
   * On disk it is root's, or has that half of the owner that can be there: the attribute of another file is what a user of the image wrote into it, to
   * claim another owner for it, or older than a chown.
   */
  #isCarrier({ uid, gid }: SysStat, owner: Owner): boolean {
    if (uid === 0 && gid === 0) return true
    const onDisk = this.#state.ids.onDisk(owner)
    return uid === onDisk.uid && gid === onDisk.gid
  }

  #data(mode: number, { dirfd, name, key }: OwnedFile): Owner | undefined {
    const { table } = this.#state
    if (table === undefined) return undefined
    const listed = table.size === 0 ? undefined : table.get(this.#full(key))
    const type = mode & S_IFMT
    if (listed !== undefined || (type !== S_IFREG && type !== S_IFDIR)) return listed
    return parseOwner(sys().getxattrat(dirfd, name, OWNER_XATTR)?.toString('latin1'))
  }

  /** chown(2), as far as it can be on disk; the rest is data. */
  set(file: OwnedFile, { uid, gid }: Owner): void {
    const { ids } = this.#state
    const real = this.isReal({ uid, gid })
    const onDisk = ids.onDisk({ uid, gid })
    sys().chownat(file.dirfd, file.name, onDisk.uid, onDisk.gid)
    if (this.active || !real) this.setData(file, { uid, gid })
  }

  /** What `set` does beside chown(2), which would take setuid bits and capabilities away. */
  setData(file: OwnedFile, owner: Owner): void {
    if (this.isReal(owner)) this.#clear(file)
    else if (this.#state.file !== undefined) this.#keep(file, owner)
  }

  #keep(file: OwnedFile, { uid, gid }: Owner): void {
    this.activate()
    const { table } = this.#state
    table?.delete(this.#full(file.key))
    try {
      sys().setxattrat(file.dirfd, file.name, OWNER_XATTR, Buffer.from(`${uid}:${gid}`))
    } catch (error) {
      if (!NO_XATTR.has(errorCode(error) ?? '')) throw error
      table?.set(this.#full(file.key), { uid, gid })
      this.#state.dirty = true
    }
  }

  #clear(file: OwnedFile): void {
    if (this.#state.table?.delete(this.#full(file.key))) this.#state.dirty = true
    if (sys().getxattrat(file.dirfd, file.name, OWNER_XATTR) !== null) sys().removexattrat(file.dirfd, file.name, OWNER_XATTR)
  }

  /** A second name of a file. */
  link(key: string, existing: string): void {
    const owner = this.#state.table?.get(this.#full(existing))
    if (owner === undefined) return
    this.#state.table?.set(this.#full(key), owner)
    this.#state.dirty = true
  }

  /** What was there, and below, is gone. */
  forget(key: string): void {
    const { table } = this.#state
    if (table === undefined || table.size === 0) return
    const gone = this.#full(key)
    for (const known of table.keys()) {
      if (known === gone || known.startsWith(`${gone}/`)) this.#state.dirty = table.delete(known) || this.#state.dirty
    }
  }

  /** Attributes count from now on. */
  activate(): void {
    if (this.#state.file === undefined || this.active) return
    this.#state.table = new Map()
    this.#state.dirty = true
  }

  save(): void {
    const { file, table, dirty } = this.#state
    if (file === undefined || table === undefined || !dirty) return
    writeFileSync(file, JSON.stringify([...table].map(([key, { uid, gid }]) => [key, uid, gid])))
    this.#state.dirty = false
  }

  #full(key: string): string {
    if (this.#prefix === '') return key
    return key === '' ? this.#prefix : `${this.#prefix}/${key}`
  }
}

/** Where the runner notes the owners that a RUN gives to what carries no attribute (runner/ownership.h). `upper`: the layer's `fs`. */
export const runOwnersFile = (upper: string): string => join(dirname(upper), 'run-owners')

/** What it noted, the last word on each path, and the file is gone. An id of -1 stays what it is. A RUN may have made it as long as it likes. */
export function takeRunOwners(upper: string): Map<string, Owner> {
  const file = runOwnersFile(upper)
  const owners = new Map<string, Owner>()
  let key: string | undefined
  for (const field of fieldsOf(file)) {
    if (key === undefined) {
      key = field.slice(1)
      continue
    }
    const [uid = STAYS, gid = STAYS] = field.split(':').map(Number)
    const before = owners.get(key) ?? { uid: -1, gid: -1 }
    owners.set(key, { uid: uid === STAYS ? before.uid : uid, gid: gid === STAYS ? before.gid : gid })
    key = undefined
  }
  rmSync(file, { force: true })
  return owners
}

/** Each ends with a NUL. None where there is no file. */
function* fieldsOf(path: string): Generator<string> {
  const fd = ifPresent(() => openSync(path, 'r'))
  if (fd === undefined) return
  const piece = Buffer.alloc(1 << 16)
  try {
    let rest = ''
    for (let size = readSync(fd, piece); size > 0; size = readSync(fd, piece)) {
      const fields = (rest + piece.toString('latin1', 0, size)).split('\0')
      rest = fields.pop() as string
      yield* fields
    }
  } finally {
    closeSync(fd)
  }
}

/** (uid_t)-1 */
const STAYS = 0xffffffff

/** Removes them from a list of attributes: they are the store's own. */
export const isOwnerXattr = (name: string): boolean => name === OWNER_XATTR || name === COPIED_XATTR

function load(file: string): Map<string, Owner> | undefined {
  const text = ifPresent(() => readFileSync(file, 'utf8'))
  if (text === undefined) return undefined
  const lines = JSON.parse(text) as [string, number, number][]
  return new Map(lines.map(([key, uid, gid]) => [key, { uid, gid }]))
}

/** A RUN may have written something else. */
function parseOwner(text: string | undefined): Owner | undefined {
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(text ?? '') ?? []
  const owner = { uid: Number(uid), gid: Number(gid) }
  return owner.uid < 0xffffffff && owner.gid < 0xffffffff ? owner : undefined
}

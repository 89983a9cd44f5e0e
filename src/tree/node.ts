import {
  DT_BLK,
  DT_CHR,
  DT_DIR,
  DT_FIFO,
  DT_LNK,
  DT_REG,
  DT_SOCK,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from '../base/sys-constants.ts'
import type { SysStat } from '../base/sys-values.ts'
import { bytes, type Key, nameOf } from './path.ts'
import type { TreeNode } from './types.ts'

export type NodeType = TreeNode['type']

// biome-ignore format: a table
const BY_MODE: ReadonlyMap<number, NodeType> = new Map([
  [S_IFREG, 'file'], [S_IFDIR, 'directory'], [S_IFLNK, 'symlink'], [S_IFCHR, 'character'], [S_IFBLK, 'block'], [S_IFIFO, 'fifo'], [S_IFSOCK, 'socket'],
])
// biome-ignore format: a table
const BY_DIRENT: ReadonlyMap<number, NodeType> = new Map([
  [DT_REG, 'file'], [DT_DIR, 'directory'], [DT_LNK, 'symlink'], [DT_CHR, 'character'], [DT_BLK, 'block'], [DT_FIFO, 'fifo'], [DT_SOCK, 'socket'],
])

export function typeOfMode(mode: number): NodeType {
  return BY_MODE.get(mode & S_IFMT) ?? 'file'
}

/** Undefined for DT_UNKNOWN. */
export function typeOfDirent(type: number): NodeType | undefined {
  return BY_DIRENT.get(type)
}

/**
 * The mark of a removed name: overlayfs's, or where nobody may make that one (on an overlay itself) a socket without permissions and of the time 0, since no
 * archive holds sockets.
 */
export function isWhiteout(stat: SysStat): boolean {
  if ((stat.mode & S_IFMT) === S_IFCHR) return stat.rdevMajor === 0 && stat.rdevMinor === 0
  return stat.mode === S_IFSOCK && stat.mtimeSeconds === 0 && stat.mtimeNanoseconds === 0
}

/** The one implementation of TreeNode: a key, a type, and a stat that is asked for when needed. */
export abstract class KeyedNode implements TreeNode {
  readonly key: Key
  readonly type: NodeType
  #stat: SysStat | undefined

  constructor(key: Key, type: NodeType, stat?: SysStat) {
    this.key = key
    this.type = type
    this.#stat = stat
  }

  protected abstract readStat(): SysStat

  get stat(): SysStat {
    this.#stat ??= this.readStat()
    return this.#stat
  }

  get path(): Buffer {
    return bytes(this.key)
  }

  get name(): Buffer {
    return bytes(nameOf(this.key))
  }
}

export function keyOf(node: TreeNode): Key {
  return node instanceof KeyedNode ? node.key : node.path.toString('latin1')
}

export function byKey(a: KeyedNode, b: KeyedNode): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0
}

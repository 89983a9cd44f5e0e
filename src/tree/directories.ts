import { TbuildError } from '../base/errors.ts'
import type { Name } from '../base/sys-values.ts'
import { keyOf } from './node.ts'
import { joinKey, type Key, latin1, shown } from './path.ts'
import { resolveIn } from './resolve.ts'
import type { TreeNode } from './types.ts'
import type { LayerWriter } from './writer.ts'

export interface NewDirectories {
  /** Undefined leaves it to the kernel: root, or the group of a setgid parent. */
  readonly uid?: number
  readonly gid?: number
  readonly mode?: number
  /** Seconds since the epoch; now when absent. */
  readonly createdTime?: number
}

const S_ISGID = 0o2000

/** All missing directories of a path (W2, F1); those that exist stay as they are; symlinks are followed inside the root. Returns where the last one really is. */
export function makeDirectories(writer: LayerWriter, path: Name, made: NewDirectories = {}): Key {
  const { node, parent, missing, obstacle } = resolveIn(writer, path, true)
  if (obstacle !== undefined || (node !== undefined && node.type !== 'directory')) {
    throw notDirectory(path, obstacle ?? node ?? parent)
  }
  let key = keyOf(parent)
  const fresh: Key[] = []
  for (const name of missing) {
    key = joinKey(key, name)
    makeDirectory(writer, key, made)
    fresh.push(key)
  }
  const { createdTime } = made
  if (createdTime !== undefined) for (const each of fresh) writer.laterTimes(each, { seconds: createdTime, nanoseconds: 0 })
  return key
}

export function notDirectory(path: Name, inTheWay: TreeNode): TbuildError {
  return new TbuildError('NOT_A_DIRECTORY', `mkdir ${shown(latin1(path))}: not a directory: /${shown(keyOf(inTheWay))}`, {
    hint: 'a file of that name is in the way; choose another path or remove it first',
  })
}

/** A directory where the merged tree has none, or something else. */
export function makeDirectory(writer: LayerWriter, key: Key, { uid, gid, mode = 0o755 }: NewDirectories): void {
  writer.directory(key, mode)
  const inherited = writer.statUpper(key).mode & S_ISGID
  const owner = uid === undefined || gid === undefined ? {} : { uid, gid }
  // The umask of the process has had its say; chown clears nothing of a directory.
  writer.setMetadata(key, 'directory', { ...owner, mode: mode | inherited })
}

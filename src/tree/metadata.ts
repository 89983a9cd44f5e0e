import { errorCode, TbuildError } from '../base/errors.ts'
import { type Name, type SysStat, sys } from '../base/sys.ts'
import type { NodeType } from './node.ts'
import { isOverlayXattr } from './view.ts'

export interface Time {
  /** Since the epoch, possibly negative. */
  readonly seconds: number
  readonly nanoseconds: number
}

export interface Metadata {
  /** Permission bits with setuid, setgid, sticky. Nothing for a symlink. */
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly time?: Time
  readonly xattrs?: ReadonlyMap<string, Buffer>
}

export function timeOf(stat: SysStat): Time {
  return { seconds: stat.mtimeSeconds, nanoseconds: stat.mtimeNanoseconds }
}

/** Errors of setxattr that mean "not here": another file system, a user namespace, user.* on a symlink. BuildKit goes on, too. */
const TOLERATED = new Set(['EPERM', 'EACCES', 'EOPNOTSUPP', 'ENOTSUP', 'EINVAL'])

/** chown clears setuid bits and security.capability, so it comes first; times come last. Never follows a symlink. */
export function applyMetadata(dirfd: number, name: Name, type: NodeType, metadata: Metadata): void {
  if (metadata.uid !== undefined && metadata.gid !== undefined) chown(dirfd, name, metadata.uid, metadata.gid)
  if (metadata.mode !== undefined && type !== 'symlink') sys().chmodat(dirfd, name, metadata.mode)
  if (metadata.xattrs !== undefined) {
    for (const [key, value] of metadata.xattrs) if (!isOverlayXattr(key)) setXattr(dirfd, name, key, value)
  }
  if (metadata.time !== undefined) sys().utimesat(dirfd, name, metadata.time.seconds, metadata.time.nanoseconds)
}

function chown(dirfd: number, name: Name, uid: number, gid: number): void {
  try {
    sys().chownat(dirfd, name, uid, gid)
  } catch (cause) {
    if (errorCode(cause) !== 'EINVAL' && errorCode(cause) !== 'EPERM') throw cause
    throw new TbuildError(
      'OWNER_UNMAPPED',
      `cannot give ${Buffer.from(name).toString() || 'a new file'} to ${uid}:${gid}: ${(cause as Error).message}`,
      {
        hint: 'give the user a range of ids in /etc/subuid and /etc/subgid that is large enough, or build as root',
        cause,
      },
    )
  }
}

function setXattr(dirfd: number, name: Name, key: string, value: Buffer): void {
  try {
    sys().setxattrat(dirfd, name, Buffer.from(key, 'latin1'), value)
  } catch (error) {
    if (!TOLERATED.has(errorCode(error) ?? '')) throw error
  }
}

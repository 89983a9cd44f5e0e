import { errorCode, TbuildError } from '../base/errors.ts'
import { sys } from '../base/sys.ts'
import type { Name, SysStat } from '../base/sys-values.ts'
import type { LayerOwners, OwnedFile, Owner } from '../store/layer-owners.ts'
import type { NodeType } from './node.ts'
import { isStoreXattr } from './xattrs.ts'

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
export function applyMetadata(owners: LayerOwners, file: OwnedFile, type: NodeType, metadata: Metadata): void {
  const { dirfd, name } = file
  const { uid, gid } = metadata
  if (uid !== undefined && gid !== undefined) chown(owners, file, { uid, gid })
  if (metadata.mode !== undefined && type !== 'symlink') sys().chmodat(dirfd, name, metadata.mode)
  if (metadata.xattrs !== undefined) {
    for (const [key, value] of metadata.xattrs) if (!isStoreXattr(key)) setXattr(dirfd, name, key, value)
  }
  if (metadata.time !== undefined) sys().utimesat(dirfd, name, metadata.time.seconds, metadata.time.nanoseconds)
}

function chown(owners: LayerOwners, file: OwnedFile, owner: Owner): void {
  try {
    owners.set(file, owner)
  } catch (cause) {
    if (errorCode(cause) !== 'EINVAL' && errorCode(cause) !== 'EPERM') throw cause
    throw new TbuildError(
      'OWNER_UNMAPPED',
      `cannot give ${Buffer.from(file.name).toString() || 'a new file'} to ${owner.uid}:${owner.gid}: ${(cause as Error).message}`,
      {
        hint: 'build as root, or through the command line, which enters a user namespace by itself',
        cause,
      },
    )
  }
}

export const isAttributeRefused = (error: unknown): boolean => TOLERATED.has(errorCode(error) ?? '')

function setXattr(dirfd: number, name: Name, key: string, value: Buffer): void {
  try {
    sys().setxattrat(dirfd, name, Buffer.from(key, 'latin1'), value)
  } catch (error) {
    if (!isAttributeRefused(error)) throw error
  }
}

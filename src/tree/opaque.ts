import { errorCode } from '../base/errors.ts'
import { sys } from '../base/sys.ts'
import type { DirectoryFds } from './directory-fds.ts'
import type { Key } from './path.ts'

const XATTRS = ['trusted.overlay.opaque', 'user.overlay.opaque'] as const

/** Whether a directory of a layer hides what the layers below have of it. */
export function isOpaque(fds: DirectoryFds, key: Key): boolean {
  const fd = fds.fd(key)
  return XATTRS.some((name) => sys().getxattrat(fd, '', name)?.toString('latin1') === 'y')
}

export function markOpaque(fds: DirectoryFds, key: Key): void {
  const value = Buffer.from('y')
  const fd = fds.fd(key)
  for (const name of XATTRS) {
    try {
      sys().setxattrat(fd, '', name, value)
      return
    } catch (error) {
      // trusted.* is for the real root; in a user namespace the other one counts.
      if (name === XATTRS.at(-1) || !['EPERM', 'EOPNOTSUPP'].includes(errorCode(error) ?? '')) throw error
    }
  }
}

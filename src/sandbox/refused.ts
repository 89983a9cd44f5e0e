import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { isTbuildError, TbuildError } from '../base/errors.ts'

/** What the runner reports on its status pipe as `error ERRNO WHAT`. */
export interface NamespaceFailure {
  readonly errno: number
  readonly text: string
}

export function parseFailure(report: string): NamespaceFailure | undefined {
  const [, errno, text] = /^error (\d+) (.*)$/m.exec(report) ?? []
  return text === undefined ? undefined : { errno: Number(errno), text }
}

const { EPERM, EACCES, ENOSPC, ENOSYS, EINVAL, ENODEV, EOPNOTSUPP, ENOENT, ESTALE, EIO, EROFS } = constants.errno
/** libuv has no name for it. */
const EUSERS = 87

/** What a container has to be given so that a RUN can have namespaces and a /proc of its own. */
const CONTAINER_NEEDS =
  'docker run needs --privileged, or --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined. Where nothing may be changed, root can build what is trusted with --isolation=chroot'

/** A map with several ids was refused; with the caller's own id alone it may succeed. */
export function isMapFailure({ text }: NamespaceFailure): boolean {
  return /^new[ug]idmap failed|^run new[ug]idmap|^write \/proc\/\d+\/[ug]id_map/.test(text)
}

/** Errors: USER_NAMESPACE. */
export function namespaceError(failure: NamespaceFailure): TbuildError {
  return new TbuildError('USER_NAMESPACE', `cannot enter a user namespace: ${failure.text}`, { hint: namespaceHint(failure) })
}

function namespaceHint({ errno, text }: NamespaceFailure): string {
  if (text.startsWith('write /proc/') && errno === ENOENT) return 'mount /proc'
  if (errno === ENOSPC || errno === EUSERS) return 'the kernel allows no more user namespaces: sysctl -w user.max_user_namespaces=10000'
  if (errno === ENOSYS || errno === EINVAL) return 'this kernel is built without user namespaces: build as root'
  if (setting('kernel/unprivileged_userns_clone') === '0') return 'sysctl -w kernel.unprivileged_userns_clone=1, or build as root'
  if (setting('kernel/apparmor_restrict_unprivileged_userns') === '1') {
    return 'AppArmor forbids user namespaces: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or build as root'
  }
  if (text.startsWith('write /proc/')) return 'root of a user namespace needs CAP_SETFCAP: give it to the container (--cap-add SETFCAP)'
  return `the surrounding container, or a policy of the kernel, forbids user namespaces: ${CONTAINER_NEEDS}`
}

function setting(name: string): string {
  try {
    return readFileSync(`/proc/sys/${name}`, 'latin1').trim()
  } catch {
    return ''
  }
}

/** overlayfs is not there, or not for this user, or not for the file system of the store; nothing was run. */
export function isOverlayRefused(error: unknown): boolean {
  const { text = '', errno = 0 } = (isTbuildError(error) ? (error.cause as Partial<NamespaceFailure> | undefined) : undefined) ?? {}
  return /^mount the \d+ layers of the root/.test(text) && [EINVAL, ENODEV, EPERM, EACCES, ENOSYS, EOPNOTSUPP].includes(errno)
}

const FORBIDDEN = `the kernel or the surrounding container forbids this: ${CONTAINER_NEEDS}`
const REFUSED = [EPERM, EACCES]
const SHORT = [constants.errno.ENOMEM, constants.errno.EAGAIN, constants.errno.ENFILE, constants.errno.EMFILE, ENOSPC]

/** What the runner could not do, with which errno (any, when none is named), and the next step. The first that fits counts. */
const HINTS: readonly (readonly [what: RegExp, errnos: readonly number[], hint: string])[] = [
  [
    /^set [ug]id|^set \d+ groups|^chown|give the output|chown the file/,
    [EINVAL],
    'this id is not mapped into the user namespace: give the user ranges in /etc/subuid and /etc/subgid, or build as root',
  ],
  [/resource limit/, REFUSED, 'the hard limit of this process is lower: raise it, or ask for less with --ulimit'],
  [
    /by chroot|^drop capability/,
    REFUSED,
    'isolation chroot needs CAP_SYS_CHROOT and CAP_SETPCAP: run as root with the default capabilities of a container',
  ],
  [/cgroup \//, [], 'give as --cgroup-parent a cgroup that this user may write to'],
  [
    /^mount proc on/,
    REFUSED,
    'the surrounding container hides parts of its /proc, so no other may be mounted: give it --security-opt systempaths=unconfined, or as root, for what is trusted, --isolation=chroot',
  ],
  [
    /namespace|mount|change the root|set the host name/,
    REFUSED,
    `the kernel or the surrounding container forbids this: ${CONTAINER_NEEDS}`,
  ],
  [/^find the runner/, [], 'mount /proc: the sandbox needs it'],
  [
    /^open \/dev\/|of this machine is not the device|^mask /,
    [],
    'the /dev of this machine must have null, zero, full, random, urandom and tty',
  ],
  [/of the image must be an ordinary directory/, [], 'make it a directory in the base image, or in an earlier step'],
  [/working directory/, [], 'WORKDIR must be a directory of the image that the USER of this RUN may enter'],
  [/^mount source/, [], 'the source of a --mount must exist where it is taken from'],
  [/^path /, [], 'a link or a file of the image is in the way of this path: remove it in an earlier step'],
  [/mount target|mount on the root/, [], 'choose another target for the --mount'],
  [/mount the \d+ layers|mount the layers/, [], 'overlayfs cannot be mounted on the file system of the store: give another --root'],
  [/^plan: /, [], 'the runner is of another version: run `node scripts/setup.mjs` in the folder of tbuild'],
  [/./, REFUSED, FORBIDDEN],
  [/./, SHORT, 'the machine is short of memory, processes or open files: look at `ulimit -a` and the limits of the container'],
  [/./, [ENOSYS, EINVAL], 'the sandbox needs Linux 5.12 or later'],
  [/./, [ENODEV, EOPNOTSUPP], 'the kernel of this machine is built without it: docs/sandbox.md says what a RUN needs'],
  [/./, [ENOENT, ESTALE], 'it was there when the step began: see that nothing else removes files of the store, and build again'],
  [/./, [EIO, EROFS], 'the disk of the store failed, or is read-only: look at `dmesg`, or give another --root'],
]

/** The next step for a RUN whose set-up failed. */
export function setupHint({ errno, text }: NamespaceFailure): string {
  const found = HINTS.find(([what, errnos]) => what.test(text) && (errnos.length === 0 || errnos.includes(errno)))
  return found?.[2] ?? 'docs/sandbox.md says what a RUN needs of the machine'
}

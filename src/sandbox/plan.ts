import { posix } from 'node:path'
import { TbuildError } from '../base/errors.ts'
import { runOwnersFile } from '../store/layer-owners.ts'
import { ALL_CAPABILITIES, DEFAULT_CAPABILITY_MASK } from './capabilities.ts'
import { environment, searchPath } from './environment.ts'
import type { HostFacts } from './host.ts'
import { hostsFile } from './hosts.ts'
import { DEVICE_LINKS, DEVICES, MASKED_PATHS, READONLY_PATHS } from './kernel-paths.ts'
import { resolvConf } from './resolv.ts'
import { type Rlimit, rlimits } from './rlimits.ts'
import { seccompProgram } from './seccomp.ts'
import type { ExecMount, ExecSpec, Isolation } from './types.ts'
import { type ReadRootFile, type ResolvedUser, resolveUser } from './user.ts'

export type MountAttribute = 'ro' | 'nosuid' | 'nodev' | 'noexec'
/** `plain`: the target must be an ordinary directory. `user`: asked for by the Dockerfile, refused in /proc and /sys. `keep`: a made mount point stays. */
export type MountFlag = 'plain' | 'user' | 'recursive' | 'keep'

interface Mounted {
  readonly target: string
  readonly attributes: readonly MountAttribute[]
  readonly flags: readonly MountFlag[]
}

/** One step of the set-up of the root, in order. */
export type PlanMount =
  | (Mounted & { readonly kind: 'fs'; readonly fs: string; readonly options: readonly string[] })
  /** `path` is resolved inside `source`; '' is the source itself. */
  | (Mounted & { readonly kind: 'bind'; readonly source: string; readonly path: string })
  /** The union of `directories` (bottom first), or a throw-away overlay above it. */
  | (Mounted & {
      readonly kind: 'view'
      readonly directories: readonly string[]
      readonly path: string
      readonly writable: boolean
      readonly options: string
    })
  | (Mounted & { readonly kind: 'file'; readonly data: Uint8Array; readonly mode: number; readonly uid: number; readonly gid: number })
  | { readonly kind: 'device'; readonly target: string; readonly source: string; readonly major: number; readonly minor: number }
  | { readonly kind: 'link'; readonly target: string; readonly text: string }
  | { readonly kind: 'mask'; readonly target: string }
  | { readonly kind: 'readonly'; readonly target: string }

/** Everything that the runner does, as data. Printable (the file data and the environment are not for printing: they hold secrets). */
export interface Plan {
  readonly root: ExecSpec['rootfs'] & { readonly options: string }
  readonly hostname: string
  readonly namespaces: readonly ('mount' | 'pid' | 'ipc' | 'uts' | 'cgroup' | 'net')[]
  readonly cwd: string
  /** Who owns on disk what is the user's: ids that are mapped. */
  readonly user: ResolvedUser
  /** A file for the owners that the command gives to symlinks and the like; what sets and asks for ids is answered by the runner's warden. */
  readonly ownerRecord: string | undefined
  /** USER is not mapped: the command runs in a user namespace of its own, in which root is called so. */
  readonly shownAs: { readonly uid: number; readonly gid: number } | undefined
  /** False where the user namespace forbids it (a single mapped id). */
  readonly setgroups: boolean
  readonly capabilities: bigint
  /** The host's abstract sockets are out of reach (Landlock, Linux 6.12); a network namespace does the same. */
  readonly scoped: boolean
  readonly args: readonly string[]
  readonly env: readonly string[]
  readonly path: readonly string[]
  readonly rlimits: readonly Rlimit[]
  readonly seccomp: Uint8Array | undefined
  /** cgroup directories to make and to enter. */
  readonly cgroups: readonly string[]
  /** A file that counts the out-of-memory kills of our cgroup. */
  readonly oomCounter: string | undefined
  readonly mounts: readonly PlanMount[]
}

/** Of every Linux distribution. */
const TTY_GROUP = 5
const SHM_SIZE = 64 * 1024 * 1024
const SEALED = ['nosuid', 'nodev', 'noexec'] as const

/** M13: parents before children, otherwise in the order given (the last of a target is on top). */
export function sortMounts<T extends { readonly target: string }>(mounts: readonly T[]): T[] {
  const depth = (mount: T) => mount.target.split('/').filter(Boolean).length
  return mounts.map((mount) => ({ ...mount, target: cleanTarget(mount.target) })).sort((a, b) => depth(a) - depth(b))
}

function cleanTarget(target: string): string {
  const clean = posix.resolve('/', target)
  if (clean === '/' || target.includes('\0')) throw new TbuildError('MOUNT_TARGET_INVALID', `invalid mount target "${target}"`)
  if (/^\/(proc|sys)(\/|$)/.test(clean)) {
    throw new TbuildError(
      'MOUNT_TARGET_INVALID',
      `invalid mount target "${target}": it is inside of ${clean.slice(0, 5).replace(/\/$/, '')}`,
    )
  }
  return clean
}

function kernelMounts(spec: ExecSpec, host: HostFacts): PlanMount[] {
  const insecure = spec.security === 'insecure'
  // sysfs shows the network namespace: a user namespace may mount it only with one of its own; otherwise the host's is bound.
  const ownSys = !host.userNamespace || spec.network === 'none'
  const readonlySys: MountAttribute[] = insecure ? [...SEALED] : ['ro', ...SEALED]
  const kept: MountFlag[] = ['plain', 'keep']
  const sys: PlanMount = ownSys
    ? { kind: 'fs', target: '/sys', fs: 'sysfs', options: [], attributes: readonlySys, flags: kept }
    : { kind: 'bind', target: '/sys', source: '/sys', path: '', attributes: ['ro', ...SEALED], flags: [...kept, 'recursive'] }
  const cgroup: PlanMount[] =
    host.cgroup2 && ownSys
      ? [{ kind: 'fs', target: '/sys/fs/cgroup', fs: 'cgroup2', options: [], attributes: readonlySys, flags: ['plain'] }]
      : []
  return [
    { kind: 'fs', target: '/proc', fs: 'proc', options: [], attributes: [...SEALED], flags: kept },
    ...deviceMounts(spec, host),
    sys,
    ...cgroup,
  ]
}

/** /dev is nodev: its devices are binds, what RUN makes with mknod there does not open. */
function deviceMounts(spec: ExecSpec, host: HostFacts): PlanMount[] {
  const tmpfs = (target: string, options: string[], attributes: MountAttribute[], flags: MountFlag[] = []): PlanMount => ({
    kind: 'fs',
    target,
    fs: 'tmpfs',
    options,
    attributes,
    flags,
  })
  const ptsOptions = ['newinstance', 'ptmxmode=0666', 'mode=0620', ...(host.ids.hasGid(TTY_GROUP) ? [`gid=${TTY_GROUP}`] : [])]
  return [
    tmpfs('/dev', ['mode=0755', 'size=65536k'], ['nosuid', 'nodev'], ['plain', 'keep']),
    ...DEVICES.map(([name, major, minor]): PlanMount => ({ kind: 'device', target: `/dev/${name}`, source: `/dev/${name}`, major, minor })),
    ...DEVICE_LINKS.map(([name, text]): PlanMount => ({ kind: 'link', target: `/dev/${name}`, text })),
    { kind: 'fs', target: '/dev/pts', fs: 'devpts', options: ptsOptions, attributes: ['nosuid', 'noexec'], flags: [] },
    tmpfs('/dev/shm', ['mode=1777', `size=${spec.settings.shmSize ?? SHM_SIZE}`], [...SEALED]),
    { kind: 'fs', target: '/dev/mqueue', fs: 'mqueue', options: [], attributes: [...SEALED], flags: [] },
  ]
}

function protections(spec: ExecSpec): PlanMount[] {
  if (spec.security === 'insecure') return []
  return [
    ...MASKED_PATHS.map((target): PlanMount => ({ kind: 'mask', target })),
    ...READONLY_PATHS.map((target): PlanMount => ({ kind: 'readonly', target })),
  ]
}

type PlanFile = Extract<PlanMount, { kind: 'file' }>

/** What of /etc is the builder's. */
export function configFiles(spec: ExecSpec, host: Pick<HostFacts, 'resolvConf'>): PlanFile[] {
  const file = (target: string, text: string): PlanFile => ({
    kind: 'file',
    target,
    data: Buffer.from(text),
    mode: 0o644,
    uid: 0,
    gid: 0,
    attributes: ['ro', ...SEALED],
    flags: [],
  })
  return [
    file('/etc/resolv.conf', resolvConf(host.resolvConf(), spec.network === 'none' ? 'none' : 'host')),
    file('/etc/hosts', hostsFile(spec.hostname, spec.settings.extraHosts)),
  ]
}

function userMount(mount: ExecMount, overlayOptions: string, { ids }: HostFacts): PlanMount {
  const common = { target: mount.target, flags: ['user'] as const }
  switch (mount.type) {
    case 'bind':
      return {
        ...common,
        kind: 'view',
        directories: mount.directories,
        path: mount.path,
        writable: mount.writable,
        options: overlayOptions,
        attributes: mount.writable ? ['nodev'] : ['ro', 'nodev'],
      }
    case 'cache':
      return {
        ...common,
        kind: 'bind',
        source: mount.directory,
        path: mount.path || '/',
        attributes: mount.writable ? ['nodev'] : ['ro', 'nodev'],
      }
    case 'tmpfs':
      return {
        ...common,
        kind: 'fs',
        fs: 'tmpfs',
        options: mount.size === undefined ? [] : [`size=${mount.size}`],
        attributes: mount.readonly ? ['ro', 'nosuid', 'nodev'] : ['nosuid', 'nodev'],
      }
    case 'file':
      // M9: noexec unless the mode has x bits.
      return {
        ...common,
        kind: 'file',
        data: mount.data,
        mode: mount.mode,
        ...ids.onDisk(mount),
        attributes: mount.mode & 0o111 ? ['ro', 'nosuid', 'nodev'] : ['ro', ...SEALED],
      }
    case 'socket':
      return { ...common, kind: 'bind', source: mount.socket, path: '', attributes: [...SEALED] }
  }
}

function mountsOf(spec: ExecSpec, host: HostFacts, options: string): PlanMount[] {
  return [
    ...kernelMounts(spec, host),
    ...configFiles(spec, host),
    ...sortMounts(spec.mounts).map((mount) => userMount(mount, options, host)),
    ...protections(spec),
  ]
}

/** Throws ISOLATION for what a chroot cannot carry out: nothing is asked for and ignored. */
export function refuseInChroot({ network, settings, mounts }: ExecSpec): void {
  const refused = (what: string, hint: string) => new TbuildError('ISOLATION', `isolation chroot cannot carry out ${what}`, { hint })
  const hint = 'build where namespaces are allowed, without --isolation=chroot'
  if (network === 'none') throw refused('--network=none: there is no network namespace', hint)
  if (settings.shmSize !== undefined) throw refused('--shm-size: /dev/shm is an ordinary directory', 'leave it out')
  if (settings.cgroupParent !== undefined) throw refused('--cgroup-parent', 'leave it out; limit the surrounding container')
  for (const mount of mounts) {
    if (mount.type === 'socket') throw refused(`RUN --mount=type=ssh (${mount.target}): a socket cannot be copied`, hint)
    if (mount.type === 'tmpfs' && mount.size !== undefined) throw refused(`a tmpfs with a size (${mount.target})`, 'leave the size out')
  }
}

function overlayOptions(host: HostFacts): string {
  return host.userNamespace ? 'userxattr' : ''
}

/** With what a user namespace lacks left out. */
function identity(user: ResolvedUser, { ids, setgroups }: HostFacts): Pick<Plan, 'user' | 'shownAs' | 'setgroups'> {
  const mapped = ids.hasUid(user.uid) && ids.hasGid(user.gid)
  if (!mapped) return { user: { ...user, uid: 0, gid: 0, groups: [] }, shownAs: { uid: user.uid, gid: user.gid }, setgroups: false }
  return { user: { ...user, groups: user.groups.filter((gid) => ids.hasGid(gid)) }, shownAs: undefined, setgroups }
}

function checkArgs(spec: ExecSpec): void {
  const invalid = (what: string) => new TbuildError('EXEC_INVALID', `cannot run: ${what}`)
  if (spec.args.length === 0) throw invalid('no command was given')
  if (!spec.cwd.startsWith('/')) throw invalid(`the working directory ${spec.cwd} is not absolute`)
  for (const word of [...spec.args, spec.cwd, spec.hostname]) if (word.includes('\0')) throw invalid('a word holds a NUL byte')
  if (spec.rootfs.lower.length === 0) throw invalid('the root has no layers')
  if (spec.rootfs.directory === undefined) checkDepth('the root', spec.rootfs.lower)
  for (const mount of spec.mounts) if (mount.type === 'bind') checkDepth(`the mount ${mount.target}`, mount.directories)
}

/** An overlay has 500 lower directories (OVL_MAX_STACK), the lowest of which may be an overlay: runner/sysmount.c. */
const MAX_LAYERS = 999

/** Nothing has been run yet: the caller may copy the layers. */
function checkDepth(what: string, { length }: readonly string[]): void {
  if (length <= MAX_LAYERS) return
  throw new TbuildError('LAYERS_TOO_MANY', `${what} has ${length} layers, more than the ${MAX_LAYERS} that the kernel stacks`, {
    hint: 'make them fewer: join steps, or begin a stage with FROM scratch and COPY --from=STAGE / /',
  })
}

function privileges(spec: ExecSpec, pretendOwners: boolean): Pick<Plan, 'capabilities' | 'seccomp'> {
  switch (spec.security) {
    case 'insecure': {
      const seccomp = pretendOwners ? seccompProgram(process.arch, { pretendOwners, unconfined: true }) : undefined
      return { capabilities: ALL_CAPABILITIES, seccomp }
    }
    case 'sandbox': {
      const seccomp = seccompProgram(process.arch, { pretendOwners })
      if (seccomp === undefined) {
        throw new TbuildError('SANDBOX_UNSUPPORTED', `there is no seccomp profile for ${process.arch}`, {
          hint: 'tbuild knows x64 and arm64',
        })
      }
      return { capabilities: DEFAULT_CAPABILITY_MASK, seccomp }
    }
    default:
      // A value that the types do not know must never be the weaker path (docs/security.md, rule 6).
      throw new TbuildError('EXEC_INVALID', `security mode ${JSON.stringify(spec.security)} is not known`)
  }
}

/**
 * ExecSpec → the complete plan. Reads only what `read` (files of the root) and `host` give.
 * Errors: USER_UNKNOWN, USER_INVALID, MOUNT_TARGET_INVALID, ENV_INVALID, ULIMIT_INVALID, EXEC_INVALID, LAYERS_TOO_MANY.
 */
export function makePlan(spec: ExecSpec, host: HostFacts, read: ReadRootFile, isolation: Isolation = 'namespaces'): Plan {
  checkArgs(spec)
  const user = resolveUser(spec.user, read)
  const who = identity(user, host)
  const bare = isolation === 'chroot'
  const pretendOwners = !bare && host.ids.single && who.shownAs === undefined
  const env = environment(spec.env, user.home)
  const options = overlayOptions(host)
  const { cgroupParent, ulimits } = spec.settings
  const cgroups = cgroupParent === undefined ? [] : host.cgroupDirectories(cgroupParent)
  return {
    root: { ...spec.rootfs, options: [options, host.volatileOverlay ? 'volatile' : ''].filter(Boolean).join(',') },
    hostname: spec.hostname,
    // `default` is the host's network: without a daemon there is nobody to run a bridge.
    namespaces: bare ? [] : ['mount', 'pid', 'ipc', 'uts', 'cgroup', ...(spec.network === 'none' ? (['net'] as const) : [])],
    cwd: spec.cwd,
    ...who,
    scoped: !bare && spec.network === 'default' && spec.security === 'sandbox',
    // A user who is not root changes no owner anyway.
    ...privileges(spec, pretendOwners),
    ownerRecord: pretendOwners ? runOwnersFile(spec.rootfs.upper) : undefined,
    // To load a filter takes CAP_SYS_ADMIN, or no_new_privs, which would break setuid programs.
    ...(bare ? { seccomp: undefined } : {}),
    args: spec.args,
    env,
    path: searchPath(env),
    rlimits: rlimits(ulimits, host.hardLimits),
    cgroups,
    oomCounter: cgroups[0] === undefined ? host.oomCounter : host.oomCounterOf(cgroups[0]),
    mounts: bare ? [] : mountsOf(spec, host, options),
  }
}

import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { release } from 'node:os'
import { TbuildError } from '../base/errors.ts'
import { inUserNamespace } from '../base/privileges.ts'
import { type IdMap, idMap } from '../values/id-map.ts'
import { hasOnlyStubResolver } from './resolv.ts'
import { type HardLimits, parseHardLimits } from './rlimits.ts'

/** What a plan depends on besides the spec, read once a process. */
export interface HostFacts {
  /** We are root of a user namespace, not of the machine. */
  readonly userNamespace: boolean
  /** setgroups(2) is allowed (not with a single mapped id). */
  readonly setgroups: boolean
  /** What this process's user namespace has. */
  readonly ids: IdMap
  /** /sys/fs/cgroup is cgroup2. */
  readonly cgroup2: boolean
  /** overlayfs takes `volatile` (Linux 5.10): an upper that no overlay reads again needs no sync. */
  readonly volatileOverlay: boolean
  readonly hardLimits: HardLimits
  readonly oomCounter: string | undefined
  /** The text of the resolver configuration to use, read at each call. */
  resolvConf(): string
  /** The same file of a cgroup of `cgroupDirectories`. */
  oomCounterOf(directory: string): string
  /** Directories for one run below `parent`, one a hierarchy; CGROUP_UNAVAILABLE when we may not make them. */
  cgroupDirectories(parent: string): string[]
}

const CGROUP2_MAGIC = 0x63677270

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // A missing file of /proc or /etc is the same as an empty one here.
    return ''
  }
}

function isCgroup2(): boolean {
  try {
    return statfsSync('/sys/fs/cgroup').type === CGROUP2_MAGIC
  } catch {
    return false
  }
}

function readResolvConf(): string {
  const text = readText('/etc/resolv.conf')
  const resolved = '/run/systemd/resolve/resolv.conf'
  return hasOnlyStubResolver(text) && existsSync(resolved) ? readText(resolved) : text
}

/** The path of our cgroup in one hierarchy: `id:controllers:path` lines; the unified one has no controllers. */
function ownCgroup(controller: string): string | undefined {
  for (const line of readText('/proc/self/cgroup').split('\n')) {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (path !== '' && controllers.split(',').includes(controller)) return path
  }
  return undefined
}

function oomCounterFile(cgroup2: boolean): string | undefined {
  const path = ownCgroup(cgroup2 ? '' : 'memory')
  if (path === undefined) return undefined
  const file = cgroup2 ? `/sys/fs/cgroup${path}/memory.events` : `/sys/fs/cgroup/memory${path}/memory.oom_control`
  return existsSync(file) ? file : undefined
}

let runs = 0

function cgroupDirectories(parent: string, cgroup2: boolean): string[] {
  if (!/^\/?[A-Za-z0-9_.@:-]+(\/[A-Za-z0-9_.@:-]+)*$/.test(parent) || parent.split('/').some((part) => part === '..' || part === '.')) {
    throw new TbuildError('CGROUP_INVALID', `invalid cgroup parent ${JSON.stringify(parent)}`, { hint: 'name a cgroup such as /builds' })
  }
  const hierarchies = cgroup2 ? ['/sys/fs/cgroup'] : ['memory', 'cpu', 'pids'].map((name) => `/sys/fs/cgroup/${name}`)
  const folder = parent.replace(/^\//, '')
  const name = `tbuild-${process.pid}-${++runs}`
  return hierarchies.map((hierarchy) => {
    const directory = `${hierarchy}/${folder}`
    if (existsSync(directory)) return `${directory}/${name}`
    throw new TbuildError('CGROUP_UNAVAILABLE', `the cgroup ${directory} does not exist`, {
      hint: 'create it first, tbuild only makes children of it',
    })
  })
}

let known: HostFacts | undefined

/** The facts of this machine and process. */
export function hostFacts(): HostFacts {
  known ??= readFacts()
  return known
}

function readFacts(): HostFacts {
  const ids = idMap()
  const cgroup2 = isCgroup2()
  const [major = 0, minor = 0] = release().split('.').map(Number)
  return {
    userNamespace: inUserNamespace(),
    ids,
    setgroups: readText('/proc/self/setgroups').trim() !== 'deny',
    cgroup2,
    volatileOverlay: major > 5 || (major === 5 && minor >= 10),
    hardLimits: parseHardLimits(readText('/proc/self/limits')),
    oomCounter: oomCounterFile(cgroup2),
    resolvConf: readResolvConf,
    oomCounterOf: (directory) => `${directory}/${cgroup2 ? 'memory.events' : 'memory.oom_control'}`,
    cgroupDirectories: (parent) => cgroupDirectories(parent, cgroup2),
  }
}

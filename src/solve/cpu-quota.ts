/** A cgroup whose processes together may use only so much of the processors. */
export interface CpuQuota {
  /** Its directory. */
  readonly group: string
  /** How many processors' worth of time it may use; a fraction, too. */
  readonly processors: number
  /** Microseconds of processor time that it has used since it was made. */
  readonly used: number
}

/** The content of a file of /proc or of cgroups; undefined when there is none. */
type ReadText = (path: string) => string | undefined

const ROOT = '/sys/fs/cgroup'

/**
 * The quotas that hold for this process: its own cgroup's and those of all above it, in the unified hierarchy and in that of the controller `cpu`. A
 * process that waits for its quota is idle to /proc/stat. What a cgroup above has is seen as far as /sys/fs/cgroup shows it.
 */
export function cpuQuotas(read: ReadText): CpuQuota[] {
  const found: CpuQuota[] = []
  for (const line of read('/proc/self/cgroup')?.split('\n') ?? []) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []
    if (controllers === undefined || path === undefined) continue
    const quotaOf = quotaReader(controllers, read)
    if (quotaOf === undefined) continue
    for (const group of upwards(path)) {
      const quota = quotaOf(group)
      if (quota !== undefined) found.push(quota)
    }
  }
  return found
}

/** A container without a cgroup namespace has the path that the host sees, and its own cgroup as the root of the mount: what does not exist has no quota. */
function upwards(path: string): string[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '..')
  return Array.from({ length: names.length + 1 }, (_, index) =>
    names
      .slice(0, names.length - index)
      .map((name) => `/${name}`)
      .join(''),
  )
}

function quotaReader(controllers: string, read: ReadText): ((group: string) => CpuQuota | undefined) | undefined {
  if (controllers === '') return (group) => unifiedQuota(`${ROOT}${group}`, read)
  if (controllers.split(',').includes('cpu')) return (group) => legacyQuota(group, read)
  return undefined
}

/** cgroup v2: `cpu.max` is `max PERIOD` or `QUOTA PERIOD`, in microseconds. */
function unifiedQuota(group: string, read: ReadText): CpuQuota | undefined {
  const [quota, period] = (read(`${group}/cpu.max`) ?? '').trim().split(' ')
  const used = /^usage_usec (\d+)$/m.exec(read(`${group}/cpu.stat`) ?? '')?.[1]
  return quotaOf(group, { quota, period, used: Number(used) })
}

/** cgroup v1: a quota of -1 is none. Usage, in nanoseconds, is the controller `cpuacct`'s, which distributions mount together with `cpu` or by itself. */
function legacyQuota(group: string, read: ReadText): CpuQuota | undefined {
  const directory = `${ROOT}/cpu${group}`
  const quota = read(`${directory}/cpu.cfs_quota_us`)
  if (quota === undefined || quota.startsWith('-')) return undefined
  const used = read(`${directory}/cpuacct.usage`) ?? read(`${ROOT}/cpuacct${group}/cpuacct.usage`)
  return quotaOf(directory, { quota, period: read(`${directory}/cpu.cfs_period_us`), used: Number(used) / 1000 })
}

interface QuotaText {
  readonly quota: string | undefined
  readonly period: string | undefined
  /** Microseconds. */
  readonly used: number
}

function quotaOf(group: string, { quota, period, used }: QuotaText): CpuQuota | undefined {
  const processors = Number(quota) / Number(period)
  return processors > 0 && Number.isFinite(processors) && Number.isFinite(used) ? { group, processors, used } : undefined
}

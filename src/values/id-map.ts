import { readFileSync } from 'node:fs'

/** Which user and group ids this process can give to a file: those of its user namespace. */
export interface IdMap {
  /** All of the machine's: no user namespace, or one that takes nothing away. */
  readonly whole: boolean
  /** Nothing but 0: every file is the user's. */
  readonly single: boolean
  hasUid(id: number): boolean
  hasGid(id: number): boolean
  /** The owner that a file on disk gets: 0, which is the user, for an id that is not there. */
  onDisk(owner: { readonly uid: number; readonly gid: number }): { uid: number; gid: number }
  /** Ids on disk mean the same to two processes with the same text. '' for a whole map. */
  readonly text: string
}

interface Range {
  readonly inside: number
  readonly outside: number
  readonly count: number
}

const ALL_IDS = 4294967295

/** Lines `inside outside count` of /proc/PID/uid_map (user_namespaces(7)). */
function parse(text: string): Range[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [inside = 0, outside = 0, count = 0] = line.trim().split(/\s+/).map(Number)
      return { inside, outside, count }
    })
}

const isWhole = ([range, ...more]: readonly Range[]): boolean =>
  range === undefined || (more.length === 0 && range.inside === 0 && range.outside === 0 && range.count === ALL_IDS)

const has = (ranges: readonly Range[], id: number): boolean => ranges.some(({ inside, count }) => id >= inside && id < inside + count)

const written = (ranges: readonly Range[]): string => ranges.map(({ inside, outside, count }) => `${inside}:${outside}:${count}`).join(',')

/** From the texts of uid_map and gid_map; where the kernel has none, all ids are there. */
export function parseIdMap(uidMap: string, gidMap: string): IdMap {
  const [uids, gids] = [parse(uidMap), parse(gidMap)]
  const whole = isWhole(uids) && isWhole(gids)
  const only = (ranges: readonly Range[]) => ranges.length === 1 && ranges[0]?.inside === 0 && ranges[0].count === 1
  const hasUid = (id: number) => isWhole(uids) || has(uids, id)
  const hasGid = (id: number) => isWhole(gids) || has(gids, id)
  return {
    whole,
    single: only(uids) && only(gids),
    hasUid,
    hasGid,
    onDisk: ({ uid, gid }) => ({ uid: hasUid(uid) ? uid : 0, gid: hasGid(gid) ? gid : 0 }),
    text: whole ? '' : `${written(uids)};${written(gids)}`,
  }
}

let own: IdMap | undefined

/** This process's, read once: the one place that knows. */
export function idMap(): IdMap {
  own ??= parseIdMap(read('/proc/self/uid_map'), read('/proc/self/gid_map'))
  return own
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

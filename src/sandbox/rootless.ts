import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { TbuildError } from '../base/errors.ts'
import { mayMount } from '../base/privileges.ts'
import { nativeFolder } from '../base/sys.ts'
import { isMapFailure, type NamespaceFailure, namespaceError, parseFailure } from './refused.ts'

/** One range of ids: `inside` of the namespace, `outside`, how many. */
interface IdRange {
  readonly inside: number
  readonly outside: number
  readonly count: number
}

export type UserNamespacePlan =
  /** Root with CAP_SYS_ADMIN, which it is inside the namespace too. */
  | { readonly kind: 'none' }
  /** Ranges of /etc/subuid and /etc/subgid, written by newuidmap and newgidmap. */
  | { readonly kind: 'ranges'; readonly uids: readonly IdRange[]; readonly gids: readonly IdRange[] }
  /** Root of a container, without CAP_SYS_ADMIN: all ids that it has, as they are. */
  | { readonly kind: 'same'; readonly uids: readonly IdRange[]; readonly gids: readonly IdRange[] }
  /** Only our own id: files of other owners are ours on disk, and their owners data (src/store/layer-owners.ts). */
  | { readonly kind: 'single'; readonly uid: number; readonly gid: number; readonly reason: string }

/** Lines `user:first:count` for a name or uid (subuid(5)); malformed lines are skipped as shadow does. */
export function parseSubids(text: string, name: string, uid: number): { first: number; count: number }[] {
  const ranges: { first: number; count: number }[] = []
  for (const line of text.split('\n')) {
    const [owner, first, count] = line.trim().split(':')
    if (owner !== name && owner !== String(uid)) continue
    if (/^\d{1,10}$/.test(first ?? '') && /^\d{1,10}$/.test(count ?? '')) ranges.push({ first: Number(first), count: Number(count) })
  }
  return ranges
}

function mapOf(own: number, ranges: readonly { first: number; count: number }[]): IdRange[] {
  let inside = 1
  const map: IdRange[] = [{ inside: 0, outside: own, count: 1 }]
  for (const { first, count } of ranges) {
    map.push({ inside, outside: first, count })
    inside += count
  }
  return map
}

/** Who runs the command. */
interface User {
  readonly uid: number
  readonly gid: number
  /** As /etc/subuid has it. */
  readonly name: string
}

export interface Identity extends User {
  /** Root that may mount by itself. */
  readonly mayMount: boolean
  readonly subuid: string
  readonly subgid: string
  /** /proc/self/uid_map and gid_map. */
  readonly uidMap: string
  readonly gidMap: string
  /** newuidmap and newgidmap are installed. */
  readonly helpers: boolean
}

/** Decides how a user runs builds; pure. */
export function planUserNamespace(identity: Identity): UserNamespacePlan {
  const { uid, gid, name } = identity
  if (identity.mayMount) return { kind: 'none' }
  if (uid === 0) return { kind: 'same', uids: sameIds(identity.uidMap), gids: sameIds(identity.gidMap) }
  const uids = parseSubids(identity.subuid, name, uid)
  const gids = parseSubids(identity.subgid, name, uid)
  if (uids.length === 0 || gids.length === 0) return single(uid, gid, `/etc/subuid and /etc/subgid have no range for ${name}`)
  if (!identity.helpers) return single(uid, gid, 'newuidmap and newgidmap are not installed (Debian: uidmap)')
  return { kind: 'ranges', uids: mapOf(uid, uids), gids: mapOf(gid, gids) }
}

const single = (uid: number, gid: number, reason: string): UserNamespacePlan => ({ kind: 'single', uid, gid, reason })

/** Every id of this namespace (lines `inside outside count`) as itself. */
function sameIds(map: string): IdRange[] {
  return map.split('\n').flatMap((line) => {
    const [inside, , count] = line.trim().split(/\s+/).map(Number)
    return inside === undefined || count === undefined ? [] : [{ inside, outside: inside, count }]
  })
}

/** What is tried when the kernel refused a map with several ids, because of `cause`. */
export function withoutRanges(plan: UserNamespacePlan, cause: string): UserNamespacePlan | undefined {
  if (plan.kind !== 'ranges' && plan.kind !== 'same') return undefined
  const own = (ranges: readonly IdRange[]) => ranges[0]?.outside ?? 0
  const reason = plan.kind === 'ranges' ? cause : `root has no CAP_SETUID and CAP_SETGID here (${cause})`
  return single(own(plan.uids), own(plan.gids), reason)
}

const format = (ranges: readonly IdRange[]): string => ranges.map(({ inside, outside, count }) => `${inside} ${outside} ${count}`).join(',')

/** The runner's words for a plan: `userns UIDMAP GIDMAP WRITER`. */
export function userNamespaceArguments(plan: Exclude<UserNamespacePlan, { kind: 'none' }>): string[] {
  switch (plan.kind) {
    case 'ranges':
      return ['userns', format(plan.uids), format(plan.gids), 'helpers']
    case 'same':
      // The kernel's form of a map; newuidmap takes words.
      return ['userns', format(plan.uids).replaceAll(',', '\n'), format(plan.gids).replaceAll(',', '\n'), 'root']
    case 'single':
      return ['userns', `0 ${plan.uid} 1`, `0 ${plan.gid} 1`, 'owner']
  }
}

/** What to tell the user once, or undefined. */
export function rootlessNotice(plan: UserNamespacePlan): string | undefined {
  if (plan.kind !== 'single') return undefined
  const remedy = plan.uid === 0 ? '' : '; for more add ranges with usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER'
  return `building with a single user id: ${plan.reason}. Images keep their owners, a RUN sees every file as root's (docs/sandbox.md)${remedy}`
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function currentPlan({ uid, gid, name }: User): UserNamespacePlan {
  if (mayMount()) return { kind: 'none' }
  const helpers = uid !== 0 && ['newuidmap', 'newgidmap'].every((helper) => spawnSync(helper, [], { stdio: 'ignore' }).error === undefined)
  return planUserNamespace({
    ...{ uid, gid, name, helpers, mayMount: false },
    ...{ subuid: read('/etc/subuid'), subgid: read('/etc/subgid'), uidMap: read('/proc/self/uid_map'), gidMap: read('/proc/self/gid_map') },
  })
}

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const

export interface EnterOptions {
  readonly user: User
  /** Standard input is a terminal. */
  readonly isTerminal: boolean
  /** Default: what this user can have. */
  readonly plan?: UserNamespacePlan
  /** Told once inside, what the user should know of the namespace. */
  readonly onNotice?: (text: string) => void
}

/**
 * Runs `argv` as root of a user namespace when this process may not mount, with our stdio, and resolves to its exit status; undefined when this process
 * may build itself. The namespace is entered once for the whole engine. Errors: NATIVE_MISSING, USER_NAMESPACE.
 */
export async function enterUserNamespace(argv: readonly string[], options: EnterOptions): Promise<number | undefined> {
  const plan = options.plan ?? currentPlan(options.user)
  if (plan.kind === 'none') return undefined
  const onEntered = () => {
    const text = rootlessNotice(plan)
    if (text !== undefined) options.onNotice?.(text)
  }
  const outcome = await runInside(plan, argv, { isTerminal: options.isTerminal, onEntered })
  if (typeof outcome === 'number') return outcome
  const next = isMapFailure(outcome) ? withoutRanges(plan, outcome.text) : undefined
  if (next === undefined) throw namespaceError(outcome)
  return enterUserNamespace(argv, { ...options, plan: next })
}

/** The exit status of the command, or why the namespace was not entered. */
async function runInside(
  plan: Exclude<UserNamespacePlan, { kind: 'none' }>,
  argv: readonly string[],
  { isTerminal, onEntered }: { readonly isTerminal: boolean; readonly onEntered: () => void },
): Promise<number | NamespaceFailure> {
  const runner = join(nativeFolder(), 'runner')
  const child = spawn(runner, [...userNamespaceArguments(plan), ...argv], { stdio: ['inherit', 'inherit', 'inherit', 'pipe'] })
  // The terminal's Ctrl-C reaches the child by itself; we only must outlive it. What is sent to us alone is passed on.
  const forward = (signal: NodeJS.Signals) => child.kill(signal)
  const handlers = FORWARDED.map((signal) => [signal, signal === 'SIGINT' && isTerminal ? () => {} : forward] as const)
  for (const [signal, handler] of handlers) process.on(signal, handler)
  let report = ''
  const status = child.stdio[3] as Readable
  status.setEncoding('utf8').on('data', (text: string) => {
    if (report === '' && text.startsWith('entered\n')) onEntered()
    report += text
  })
  try {
    return await new Promise((resolve, reject) => {
      child.on('error', (cause) =>
        reject(new TbuildError('NATIVE_MISSING', `the runner ${runner} cannot be started: ${cause.message}`, { cause })),
      )
      child.on('close', (code, signal) => {
        resolve(parseFailure(report) ?? code ?? 128 + (signal === null ? 0 : constants.signals[signal]))
      })
    })
  } finally {
    for (const [signal, handler] of handlers) process.off(signal, handler)
  }
}

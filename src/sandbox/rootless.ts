import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { constants, userInfo } from 'node:os'
import { join } from 'node:path'
import { TbuildError } from '../base/errors.ts'
import { nativeFolder } from '../base/sys.ts'

/** One range of ids: `inside` of the namespace, `outside`, how many. */
export interface IdRange {
  readonly inside: number
  readonly outside: number
  readonly count: number
}

export type UserNamespacePlan =
  /** Root already, or inside the namespace already. */
  | { readonly kind: 'none' }
  /** Ranges of /etc/subuid and /etc/subgid, written by newuidmap and newgidmap. */
  | { readonly kind: 'ranges'; readonly uids: readonly IdRange[]; readonly gids: readonly IdRange[] }
  /** Only our own id: files of other owners cannot be made. */
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

export interface Identity {
  readonly uid: number
  readonly gid: number
  readonly name: string
  readonly subuid: string
  readonly subgid: string
  /** newuidmap and newgidmap are installed. */
  readonly helpers: boolean
}

/** Decides how a user runs builds; pure. */
export function planUserNamespace(identity: Identity): UserNamespacePlan {
  const { uid, gid, name } = identity
  if (uid === 0) return { kind: 'none' }
  const single = (reason: string): UserNamespacePlan => ({ kind: 'single', uid, gid, reason })
  const uids = parseSubids(identity.subuid, name, uid)
  const gids = parseSubids(identity.subgid, name, uid)
  if (uids.length === 0 || gids.length === 0) return single(`/etc/subuid and /etc/subgid have no range for ${name}`)
  if (!identity.helpers) return single('newuidmap and newgidmap are not installed (Debian: uidmap)')
  return { kind: 'ranges', uids: mapOf(uid, uids), gids: mapOf(gid, gids) }
}

const format = (ranges: readonly IdRange[]): string => ranges.map(({ inside, outside, count }) => `${inside} ${outside} ${count}`).join(',')

/** The runner's words for a plan: `userns UIDMAP GIDMAP HELPERS`. */
export function userNamespaceArguments(plan: Exclude<UserNamespacePlan, { kind: 'none' }>): string[] {
  if (plan.kind === 'ranges') return ['userns', format(plan.uids), format(plan.gids), '1']
  return ['userns', `0 ${plan.uid} 1`, `0 ${plan.gid} 1`, '0']
}

/** What to tell the user once, or undefined. */
export function rootlessNotice(plan: UserNamespacePlan = currentPlan()): string | undefined {
  if (plan.kind !== 'single') return undefined
  return `building with a single user id: ${plan.reason}. Steps that change file owners or switch users fail; add ranges with usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function currentPlan(): UserNamespacePlan {
  const { uid, gid, username } = currentUser()
  if (uid === 0) return { kind: 'none' }
  const helpers = ['newuidmap', 'newgidmap'].every((helper) => spawnSync(helper, [], { stdio: 'ignore' }).error === undefined)
  return planUserNamespace({ uid, gid, name: username, subuid: read('/etc/subuid'), subgid: read('/etc/subgid'), helpers })
}

/** A user id that the machine does not know, as containers are run with, is its own name. */
function currentUser(): { uid: number; gid: number; username: string } {
  try {
    return userInfo()
  } catch {
    const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0]
    return { uid, gid, username: String(uid) }
  }
}

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const

/**
 * Runs `argv` as root of a user namespace when we are not root, with our stdio, and resolves to its exit status; undefined when this process may build
 * itself. The namespace is entered once for the whole engine. Errors: NATIVE_MISSING.
 */
export async function enterUserNamespace(argv: readonly string[], plan: UserNamespacePlan = currentPlan()): Promise<number | undefined> {
  if (plan.kind === 'none') return undefined
  const runner = join(nativeFolder(), 'runner')
  const child = spawn(runner, [...userNamespaceArguments(plan), ...argv], { stdio: 'inherit' })
  // The terminal's Ctrl-C reaches the child by itself; we only must outlive it. What is sent to us alone is passed on.
  const forward = (signal: NodeJS.Signals) => child.kill(signal)
  const handlers = FORWARDED.map((signal) => [signal, signal === 'SIGINT' && process.stdin.isTTY ? () => {} : forward] as const)
  for (const [signal, handler] of handlers) process.on(signal, handler)
  try {
    return await new Promise((resolve, reject) => {
      child.on('error', (cause) =>
        reject(new TbuildError('NATIVE_MISSING', `the runner ${runner} cannot be started: ${cause.message}`, { cause })),
      )
      child.on('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
    })
  } finally {
    for (const [signal, handler] of handlers) process.off(signal, handler)
  }
}

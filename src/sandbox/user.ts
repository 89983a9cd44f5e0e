import { TbuildError } from '../base/errors.ts'

/** Reads a regular file of the root, resolved inside it; undefined when it is missing; throws when it is longer than `limit` or not a regular file. */
export type ReadRootFile = (path: string, limit: number) => Buffer | undefined

export interface ResolvedUser {
  readonly uid: number
  readonly gid: number
  /** Supplementary groups; the primary gid is always one of them (W16). */
  readonly groups: readonly number[]
  /** HOME when the environment has none (A14). */
  readonly home: string
}

interface PasswdEntry {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
}

interface GroupEntry {
  readonly name: string
  readonly gid: number
  readonly members: readonly string[]
}

/** 10 MiB: CVE-2026-47262. */
const LIMIT = 10 * 1024 * 1024
/** 2^32 - 2: the last one means "no change" to chown(2) and setuid(2). */
const MAX_ID = 0xfffffffe

/**
 * All digits is a number, never a name (CVE-2024-40635): undefined for a name, an error when out of range. BuildKit's own limit is 2^31 - 1 for names looked
 * up; the kernel's is what holds here.
 */
function numericId(text: string, user: string): number | undefined {
  if (!/^[0-9]+$/.test(text)) return undefined
  const number = Number(text)
  if (number <= MAX_ID) return number
  throw new TbuildError('USER_INVALID', `uids and gids must be in range 0-${MAX_ID}: ${text} in USER ${user}`)
}

const unknown = (user: string, detail: string) =>
  new TbuildError('USER_UNKNOWN', `unable to find ${detail}`, { hint: `add it to the image before USER ${user} is used by a RUN` })

function* records(data: Buffer | undefined): Generator<string[]> {
  // latin1: bytes stay what they are, so that names that are not UTF-8 never become equal.
  for (const line of (data ?? Buffer.alloc(0)).toString('latin1').split('\n')) {
    const text = line.trim()
    if (text !== '' && !text.startsWith('#')) yield text.split(':')
  }
}

const number = (text: string | undefined): number =>
  text !== undefined && /^[0-9]{1,10}$/.test(text) && Number(text) <= MAX_ID ? Number(text) : -1

function* passwdEntries(data: Buffer | undefined): Generator<PasswdEntry> {
  for (const [name = '', , uid, gid, , home = ''] of records(data)) {
    if (number(uid) >= 0 && number(gid) >= 0)
      yield { name, uid: number(uid), gid: number(gid), home: Buffer.from(home, 'latin1').toString() }
  }
}

function* groupEntries(data: Buffer | undefined): Generator<GroupEntry> {
  for (const [name = '', , gid, members = ''] of records(data)) {
    if (number(gid) >= 0) yield { name, gid: number(gid), members: members.split(',') }
  }
}

function find<T>(entries: Iterable<T>, matches: (entry: T) => boolean): T | undefined {
  for (const entry of entries) if (matches(entry)) return entry
  return undefined
}

interface Files {
  readonly passwd: Buffer | undefined
  readonly group: () => Buffer | undefined
}

function primary(userPart: string, user: string, files: Files): { uid: number; gid: number; name: string | undefined } {
  const id = numericId(userPart, user)
  const bytes = Buffer.from(userPart).toString('latin1')
  const entry = find(passwdEntries(files.passwd), (line) => (id === undefined ? line.name === bytes : line.uid === id))
  if (entry !== undefined) return { uid: entry.uid, gid: entry.gid, name: entry.name }
  if (id === undefined) throw unknown(user, `user ${userPart}: no matching entries in passwd file`)
  return { uid: id, gid: 0, name: undefined }
}

function groupId(groupPart: string, user: string, files: Files): number {
  const id = numericId(groupPart, user)
  if (id !== undefined) return id
  const bytes = Buffer.from(groupPart).toString('latin1')
  const entry = find(groupEntries(files.group()), (line) => line.name === bytes)
  if (entry === undefined) throw unknown(user, `group ${groupPart}: no matching entries in group file`)
  return entry.gid
}

function supplementary(name: string | undefined, files: Files): number[] {
  if (name === undefined) return []
  return [...groupEntries(files.group())].filter((entry) => entry.members.includes(name)).map((entry) => entry.gid)
}

const homeOf = (uid: number, passwd: Buffer | undefined): string => find(passwdEntries(passwd), (entry) => entry.uid === uid)?.home || '/'

function result(uid: number, gid: number, groups: readonly number[], passwd: Buffer | undefined): ResolvedUser {
  return { uid, gid, groups: [...new Set([gid, ...groups])], home: homeOf(uid, passwd) }
}

/**
 * The image's USER at one RUN (W14–W18): '' is uid 0 with root's groups, `name`, `uid`, `name:group`, `uid:gid`.
 * Errors: USER_UNKNOWN, USER_INVALID, and what `read` throws.
 */
export function resolveUser(user: string, read: ReadRootFile): ResolvedUser {
  const passwd = read('/etc/passwd', LIMIT)
  const files: Files = { passwd, group: () => read('/etc/group', LIMIT) }
  const [userPart = '', groupPart, ...more] = (user === '' ? '0' : user).split(':')
  if (more.length > 0) throw new TbuildError('USER_INVALID', `invalid USER ${user}`, { hint: 'write USER name[:group] or uid[:gid]' })
  const uid = numericId(userPart, user)
  const gid = groupPart === undefined ? undefined : numericId(groupPart, user)
  if (uid !== undefined && gid !== undefined) return result(uid, gid, [], passwd)
  // BuildKit: only the default user may lack a passwd file (W17).
  if (passwd === undefined && user !== '') throw unknown(user, `user ${userPart}: the image has no /etc/passwd`)
  const found = primary(userPart || '0', user, files)
  if (groupPart !== undefined && groupPart !== '') return result(found.uid, groupId(groupPart, user, files), [], passwd)
  return result(found.uid, found.gid, supplementary(found.name, files), passwd)
}

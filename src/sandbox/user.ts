import { errorCode, TbuildError } from '../base/errors.ts'

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
/** The largest id of `USER id` and `USER name:id` that no line of the files has (moby/sys/user). */
const MAX_UNLISTED_ID = 0x7fffffff
/** 2^32 - 2, of `USER uid:gid`: the last one means "no change" to chown(2) and setuid(2). */
const MAX_ID = 0xfffffffe

/** What Go's strconv.Atoi takes for a number is never a name (CVE-2024-40635). */
function integer(text: string): number | undefined {
  return /^[+-]?[0-9]+$/.test(text) ? Number(text) : undefined
}

/** An id that stands in no file. */
function unlisted(id: number, user: string): number {
  if (id >= 0 && id <= MAX_UNLISTED_ID) return id
  throw new TbuildError('USER_INVALID', `uids and gids must be in range 0-${MAX_UNLISTED_ID}: ${id} in USER ${user}`)
}

/** One side of `uid:gid`, for which BuildKit reads no file; it takes `root` for 0 there. */
function plainId(text: string): number | undefined {
  if (text === 'root') return 0
  return /^[0-9]+$/.test(text) && Number(text) <= MAX_ID ? Number(text) : undefined
}

const unknown = (user: string, detail: string) =>
  new TbuildError('USER_UNKNOWN', `unable to find ${detail}`, { hint: `add it to the image before USER ${user} is used by a RUN` })

/** Every line counts, as in moby/sys/user: a comment is a user of that name, a field that is missing or no number is 0. */
function* records(data: Buffer | undefined): Generator<string[]> {
  // latin1: bytes stay what they are, so that names that are not UTF-8 never become equal.
  for (const line of (data ?? Buffer.alloc(0)).toString('latin1').split('\n')) {
    const text = line.trim()
    if (text !== '') yield text.split(':')
  }
}

const idField = (text = ''): number => integer(text) ?? 0

/** BuildKit keeps the low 32 bits of an id in a file, so that 4294967296 is root. */
function possible(id: number, user: string): number {
  if (id >= 0 && id <= MAX_ID) return id
  throw new TbuildError('USER_INVALID', `the id ${id} that the image gives USER ${user} is out of range`)
}

function* passwdEntries(data: Buffer | undefined): Generator<PasswdEntry> {
  for (const [name = '', , uid, gid, , home = ''] of records(data)) {
    yield { name, uid: idField(uid), gid: idField(gid), home: Buffer.from(home, 'latin1').toString() }
  }
}

function* groupEntries(data: Buffer | undefined): Generator<GroupEntry> {
  for (const [name = '', , gid, members = ''] of records(data)) yield { name, gid: idField(gid), members: members.split(',') }
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
  const id = integer(userPart)
  const bytes = Buffer.from(userPart).toString('latin1')
  const entry = find(passwdEntries(files.passwd), (line) => (id === undefined ? line.name === bytes : line.uid === id))
  if (entry !== undefined) return { uid: possible(entry.uid, user), gid: possible(entry.gid, user), name: entry.name }
  if (id === undefined) throw unknown(user, `user ${userPart}: no matching entries in passwd file`)
  return { uid: unlisted(id, user), gid: 0, name: undefined }
}

function groupId(groupPart: string, user: string, files: Files): number {
  const id = integer(groupPart)
  const bytes = Buffer.from(groupPart).toString('latin1')
  const entry = find(groupEntries(files.group()), (line) => (id === undefined ? line.name === bytes : line.gid === id))
  if (entry !== undefined) return possible(entry.gid, user)
  if (id === undefined) throw unknown(user, `group ${groupPart}: no matching entries in group file`)
  return unlisted(id, user)
}

function supplementary(name: string | undefined, files: Files): number[] {
  if (name === undefined) return []
  const ids = [...groupEntries(files.group())].filter((entry) => entry.members.includes(name)).map((entry) => entry.gid)
  return ids.filter((id) => id >= 0 && id <= MAX_ID)
}

const homeOf = (uid: number, passwd: Buffer | undefined): string => find(passwdEntries(passwd), (entry) => entry.uid === uid)?.home ?? '/'

function result(uid: number, gid: number, groups: readonly number[], passwd: Buffer | undefined): ResolvedUser {
  return { uid, gid, groups: [...new Set([gid, ...groups])], home: homeOf(uid, passwd) }
}

/**
 * The image's USER at one RUN (W14–W18): '' is uid 0 with root's groups, `name`, `uid`, `name:group`, `uid:gid`.
 * Errors: USER_UNKNOWN, USER_INVALID, and what `read` throws.
 */
export function resolveUser(user: string, readFile: ReadRootFile): ResolvedUser {
  const read: ReadRootFile = (path, limit) => {
    try {
      return readFile(path, limit)
    } catch (error) {
      // A link that leads round in a circle is no file, as one to nowhere (BuildKit; --chown fails there, too).
      if (errorCode(error) === 'ELOOP') return undefined
      throw error
    }
  }
  const passwd = read('/etc/passwd', LIMIT)
  const files: Files = { passwd, group: () => read('/etc/group', LIMIT) }
  const [userPart = '', groupPart, ...more] = (user === '' ? '0' : user).split(':')
  const uid = plainId(userPart)
  const gid = groupPart === undefined || more.length > 0 ? undefined : plainId(groupPart)
  if (uid !== undefined && gid !== undefined) return result(uid, gid, [], passwd)
  // BuildKit: only the default user may lack a passwd file (W17).
  if (passwd === undefined && user !== '') throw unknown(user, `user ${userPart}: the image has no /etc/passwd`)
  const found = primary(userPart || '0', user, files)
  if (groupPart !== undefined && groupPart !== '') return result(found.uid, groupId(groupPart, user, files), [], passwd)
  return result(found.uid, found.gid, supplementary(found.name, files), passwd)
}

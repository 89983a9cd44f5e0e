import { TbuildError } from '../base/errors.ts'
import { readFileInRoot } from './read.ts'
import type { TreeView } from './types.ts'

/** (uid_t)-1 means "do not change" to chown(2). */
const UNCHANGED = -1

/**
 * `user[:group]` of --chown, looked up in the root's passwd and group (F16–F18): numbers are ids, one number alone is both, a name alone brings its
 * primary group. An unknown user is 0:0, an unknown group leaves what the user gave, an empty group is 0.
 */
export function lookupOwner(view: TreeView, chown: string): { uid: number; gid: number } {
  const colon = chown.indexOf(':')
  const user = colon < 0 ? chown : chown.slice(0, colon)
  const found = ownerOf(view, user)
  if (colon < 0) return found
  const group = chown.slice(colon + 1)
  if (group === '') return { uid: found.uid, gid: 0 }
  return { uid: found.uid, gid: idOf(group) ?? groupId(view, group) ?? found.gid }
}

function ownerOf(view: TreeView, user: string): { uid: number; gid: number } {
  const id = idOf(user)
  if (id !== undefined) return { uid: id, gid: id }
  const fields = user === '' || looksNumeric(user) ? undefined : lines(view, '/etc/passwd').find(([name]) => name === user)
  return { uid: fieldOf(fields?.[2]), gid: fieldOf(fields?.[3]) }
}

function groupId(view: TreeView, group: string): number | undefined {
  const fields = looksNumeric(group) ? undefined : lines(view, '/etc/group').find(([name]) => name === group)
  return fields === undefined ? undefined : fieldOf(fields[2])
}

function lines(view: TreeView, path: string): string[][] {
  const text = readFileInRoot(view, path)?.toString() ?? ''
  return text.split('\n').map((line) => line.trim().split(':'))
}

const looksNumeric = (text: string): boolean => /^[+-]?[0-9]+$/.test(text)

/**
 * As llb.WithUser reads it: a number of 32 bits with its sign is an id (-5 is 4294967291). To BuildKit a larger one is a name, here it is one that nobody
 * has (CVE-2024-40635).
 */
function idOf(text: string): number | undefined {
  if (text === 'root') return 0
  if (!looksNumeric(text)) return undefined
  const id = Number(text)
  if (id !== (id | 0)) return undefined
  if (id === UNCHANGED)
    throw new TbuildError('OWNER_INVALID', `user or group id ${text} is out of range`, { hint: 'ids go from 0 to 2147483647' })
  return id >>> 0
}

/** An id of passwd or group; 0 where there is no number. */
function fieldOf(text = ''): number {
  const id = looksNumeric(text) ? Number(text) : 0
  if (id >= 0 && id < 2 ** 32 - 1) return id
  throw new TbuildError('OWNER_INVALID', `the id ${text} in the image's passwd or group is out of range`)
}

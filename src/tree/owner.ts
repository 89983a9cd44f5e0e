import { TbuildError } from '../base/errors.ts'
import { readFileInRoot } from './read.ts'
import type { TreeView } from './types.ts'

/** (uid_t)-1 means "do not change" to chown(2). */
const MAX_ID = 2 ** 32 - 2

/**
 * `user[:group]` of --chown, looked up in the root's passwd and group (F16–F18): digits are ids, one number alone is both, a name alone brings its
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
  const fields = user === '' ? undefined : lines(view, '/etc/passwd').find(([name]) => name === user)
  return { uid: idOf(fields?.[2] ?? '') ?? 0, gid: idOf(fields?.[3] ?? '') ?? 0 }
}

function groupId(view: TreeView, group: string): number | undefined {
  return idOf(lines(view, '/etc/group').find(([name]) => name === group)?.[2] ?? '')
}

function lines(view: TreeView, path: string): string[][] {
  const text = readFileInRoot(view, path)?.toString() ?? ''
  return text.split('\n').map((line) => line.trim().split(':'))
}

/** All digits is a number, and one that is too large is an error: never the name of a user in the image (CVE-2024-40635). */
function idOf(text: string): number | undefined {
  if (!/^[0-9]+$/.test(text)) return undefined
  const id = Number(text)
  if (id <= MAX_ID) return id
  throw new TbuildError('OWNER_INVALID', `user or group id ${text} is out of range`, { hint: `ids go from 0 to ${MAX_ID}` })
}

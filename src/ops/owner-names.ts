import { TbuildError } from '../base/errors.ts'
import type { ActiveLayer } from '../snapshot/types.ts'

/**
 * The name of an owner is looked up in passwd and group of the file system that a step changes. A --link layer has none (F19), nor has a stage that is
 * still scratch. Throws LINK_OWNER with BuildKit's text.
 */
export function checkOwnerNames(owner: string, { lower }: Pick<ActiveLayer, 'lower'>): void {
  if (lower.length > 0) return
  const named = owner.split(/:(.*)/s, 2).find((part) => part !== '' && part !== 'root' && !isId(part))
  if (named === undefined) return
  throw new TbuildError('LINK_OWNER', 'invalid user index: -1', {
    hint: `there is no /etc/passwd to look "${named}" up in: write its number, or take files from a base and leave out --link`,
  })
}

/** What strconv.ParseInt takes, of 32 bits. */
function isId(text: string): boolean {
  return /^[+-]?\d+$/.test(text) && Number(text) === (Number(text) | 0)
}

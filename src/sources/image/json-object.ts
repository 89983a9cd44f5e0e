import { TbuildError } from '../../base/errors.ts'
import { parseStrictJson } from '../../base/strict-json.ts'

/** The members of a JSON object from elsewhere. A Map: a key such as `__proto__` is only a key. */
export type Members = ReadonlyMap<string, unknown>

/** Deeper than any image's document, and far from what recursion over it could not bear. */
const DEPTH = 100

/** MANIFEST_INVALID: `what` names the document. */
export function invalid(what: string, reason: string, hint = 'the image is damaged or made to confuse: ask its publisher'): TbuildError {
  return new TbuildError('MANIFEST_INVALID', `${what}: ${reason}`, { hint })
}

export function membersOf(value: unknown): Members | undefined {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? new Map(Object.entries(value)) : undefined
}

/** Strict: UTF-8, an object, not nested deeper than DEPTH. The caller has capped the bytes. */
export function parseJson(bytes: Uint8Array, what: string): Members {
  const parsed = parseStrictJson(bytes, DEPTH)
  if ('problem' in parsed) throw invalid(what, parsed.problem)
  const members = membersOf(parsed.value)
  if (members === undefined) throw invalid(what, 'not a JSON object')
  return members
}

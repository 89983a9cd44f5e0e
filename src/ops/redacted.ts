import { canonicalJson, type Json } from '../base/canonical-json.ts'
import { sha256 } from '../base/digest.ts'
import { maskUrls } from '../base/mask-url.ts'
import type { KeyPart } from '../store/types.ts'

/** What stands in a record for a value that must not be there: what tells it from another, and what may be shown of it. */
export function redacted(value: Json, shown?: Json): { readonly [key: string]: Json | undefined } {
  return { hidden: sha256(canonicalJson(value)), shown }
}

/** The part as a record may hold it: the login of a URL in a command or a variable is told from another's, and not kept. */
export function withoutLogins(part: KeyPart): KeyPart {
  const text = canonicalJson(part.value)
  if (!text.includes('://')) return part
  const shown = masked(part.value)
  return canonicalJson(shown) === text ? part : { name: part.name, value: redacted(part.value, shown) }
}

function masked(value: Json): Json {
  if (typeof value === 'string') return maskUrls(value)
  if (Array.isArray(value)) return value.map((item) => masked(item as Json))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, member === undefined ? undefined : masked(member)]))
}

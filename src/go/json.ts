import { canonicalJson, type Json } from '../base/canonical-json.ts'

/**
 * JSON text as Go's encoding/json writes it: `<`, `>`, `&`, U+2028 and U+2029 are escaped, DEL is not. Configs and manifests are written so, for the same
 * content to have the digest that BuildKit gives it.
 */
export function escapeLikeGo(json: string): string {
  return json.replace(/[<>&\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** A Go map marshalled: keys sorted by bytes, compact. */
export function marshalSorted(value: Json): string {
  return escapeLikeGo(canonicalJson(value))
}

import { canonicalJson, type Json } from './canonical-json.ts'

/**
 * JSON text as Go's encoding/json writes it: `<`, `>`, `&`, U+2028 and U+2029 are escaped for HTML, and so are a lone surrogate (U+FFFD) and DEL not at all.
 * Configs and manifests are made so, byte for byte, for the digests of BuildKit to be ours.
 */
export function escapeLikeGo(json: string): string {
  return json.replace(/[<>&\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** A Go map marshalled: keys sorted by bytes, compact. */
export function marshalSorted(value: Json): string {
  return escapeLikeGo(canonicalJson(value))
}

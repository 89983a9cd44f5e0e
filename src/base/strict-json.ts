/** The value of JSON from elsewhere, or what is wrong with it: UTF-8 only, nested no deeper than `depth` levels. The caller has capped the bytes. */
export function parseStrictJson(bytes: Uint8Array, depth: number): { readonly value: unknown } | { readonly problem: string } {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return { problem: 'not JSON' }
  }
  return isDeeper(value, depth) ? { problem: `nested deeper than ${depth} levels` } : { value }
}

/** Level by level and not by recursion, which is what the depth would break. */
function isDeeper(value: unknown, limit: number): boolean {
  let level = [value]
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > limit) return true
    level = level.flatMap((item) => (item !== null && typeof item === 'object' ? Object.values(item) : []))
  }
  return false
}

/** Any JSON value; `undefined` members are left out, as JSON.stringify does. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined }

/** Compact JSON with object keys sorted by code unit: equal values give equal bytes. */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item as Json)).join(',')}]`
  if (value !== null && typeof value === 'object') {
    const object = value as { readonly [key: string]: Json | undefined }
    const members = Object.keys(object)
      .filter((key) => object[key] !== undefined)
      .sort()
      .map((key) => `${JSON.stringify(key)}:${canonicalJson(object[key] as Json)}`)
    return `{${members.join(',')}}`
  }
  return JSON.stringify(value)
}

import { type Digest, sha256 } from '../../base/digest.ts'
import { escapeLikeGo } from '../../go/json.ts'

/** What Go marshals for a cache key: members in the order of the struct; a bigint is an int64. */
export type GoJson = string | number | bigint | boolean | null | readonly GoJson[] | { readonly [member: string]: GoJson | undefined }

/** As encoding/json writes a struct whose members are `omitempty`: the keys of BuildKit are digests of exactly these bytes. */
export function goJson(value: GoJson): string {
  return escapeLikeGo(write(value))
}

function write(value: GoJson): string {
  if (typeof value === 'bigint') return value.toString()
  if (Array.isArray(value)) return `[${value.map(write).join(',')}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  const members = Object.entries(value as { readonly [member: string]: GoJson | undefined })
  return `{${members.flatMap(([name, member]) => (member === undefined ? [] : [`${JSON.stringify(name)}:${write(member)}`])).join(',')}}`
}

/** `omitempty`: zero, false, '' and empty lists are left out; a message that is there stays, however empty. */
export function omitEmpty(members: { readonly [member: string]: GoJson | undefined }): { readonly [member: string]: GoJson | undefined } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => !isZero(value)))
}

function isZero(value: GoJson | undefined): boolean {
  if (Array.isArray(value)) return value.length === 0
  return value === undefined || value === '' || value === 0 || value === 0n || value === false
}

export function digestOf(value: GoJson): Digest {
  return sha256(goJson(value))
}

/** The digest of a record (solver/cachemanager.go, rootKey): an op's by its output, a content's with -1. */
export function recordDigest(digest: Digest, output: 0 | -1): Digest {
  return sha256(`${digest}@${output}`)
}

/** Several paths or digests in one. */
export function joinedDigest(parts: readonly string[]): Digest {
  return sha256(parts.join('\0'))
}

import { existsSync, mkdirSync, readdirSync, readFileSync, unlinkSync } from 'node:fs'
import { basename, join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { type Digest, hexOf, isDigest, parseDigest, sha256 } from '../base/digest.ts'
import { writeAtomicSync } from './atomic-file.ts'
import type { StoreLayout } from './layout.ts'
import type { Leases } from './leases.ts'
import { ifPresent } from './store-error.ts'
import type { CacheRecord } from './types.ts'

/**
 * The texts whose digests stand in cache records as the content of a COPY, ADD or bind mount (tree/hash.ts): the files one by one, so that a later build can
 * tell which of them changed. Compressed files by digest, checked by it when they are read. Losing one loses an explanation.
 */
export interface ContentListings {
  /** `text` in latin1. An error is thrown away: the record is kept, and that is what counts. */
  save(digest: Digest, text: () => string): void
  load(digest: Digest): string | undefined
  /** It is not read, and may be damaged. */
  has(digest: Digest): boolean
}

/** About a million files. Bytes. */
const LIMIT = 256 * 1024 * 1024

export function createContentListings(layout: StoreLayout, leases: Leases): ContentListings {
  const file = (digest: Digest) => join(layout.listings, hexOf(parseDigest(digest)))
  return {
    save(digest, text) {
      const path = file(digest)
      try {
        if (existsSync(path)) return
        const bytes = Buffer.from(text(), 'latin1')
        if (bytes.length > LIMIT) return
        mkdirSync(layout.listings, { recursive: true, mode: 0o700 })
        writeAtomicSync(leases.temporary(), path, gzipSync(bytes, { level: 1 }), { durable: false })
      } catch {
        // See the interface.
      }
    },
    has: (digest) => existsSync(file(digest)),
    load: (digest) => read(file(digest), digest)?.toString('latin1'),
  }
}

/** For verification. */
export function isListing(path: string): boolean {
  const digest = `sha256:${basename(path)}`
  return isDigest(digest) && read(path, digest) !== undefined
}

function read(path: string, digest: Digest): Buffer | undefined {
  try {
    const packed = ifPresent(() => readFileSync(path))
    const bytes = packed && gunzipSync(packed, { maxOutputLength: LIMIT })
    return bytes !== undefined && sha256(bytes) === digest ? bytes : undefined
  } catch {
    return undefined
  }
}

/** The digests that a record's parts name. */
export function digestsIn(parts: CacheRecord['parts']): Digest[] {
  // A match is a part of the text, and keeps all of it in memory: who keeps the digests of many records must get copies.
  const found = [...new Set(JSON.stringify(parts).match(/sha256:[0-9a-f]{64}/g))]
  return found.map((text) => Buffer.from(text, 'latin1').toString('latin1')).filter(isDigest)
}

/** For gc: removes the listings that no record needs. */
export function collectContentListings(layout: StoreLayout, digests: Iterable<Digest>): void {
  const needed = new Set<string>()
  for (const digest of digests) needed.add(hexOf(digest))
  for (const name of ifPresent(() => readdirSync(layout.listings)) ?? []) {
    if (!needed.has(name)) ifPresent(() => unlinkSync(join(layout.listings, name)))
  }
}

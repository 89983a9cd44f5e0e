import { canonicalJson } from '../base/canonical-json.ts'
import { type Digest, isDigest, sha256 } from '../base/digest.ts'
import { errorCode, TbuildError } from '../base/errors.ts'
import { Shared } from '../base/shared.ts'
import type { ContentListings } from '../store/content-listings.ts'
import { hashSources, parseListing, type StatCache } from '../tree/hash.ts'
import type { ContentHasher, ContentSelector, DigestMemo } from './content.ts'
import { type Ref, type ViewDeps, viewOf } from './ref.ts'

/** Raised when hash.ts changes what it hashes: remembered digests are then not found. */
const HASH_VERSION = 1

interface HasherDeps extends ViewDeps {
  readonly memo: DigestMemo
  /** Digests of files by identity and stat, for files that are not in the store. */
  readonly statCache: (identity: string) => StatCache
  readonly listings: ContentListings
}

/** What was hashed in this build, by its digest. */
type Hashed = Map<Digest, readonly string[]>

export function contentHasher(parts: HasherDeps, hashed: Hashed = new Map()): ContentHasher {
  const known = new Shared<string, Digest>()
  const { listings } = parts
  return {
    digest(ref, selector, signal) {
      const key = sha256(canonicalJson([HASH_VERSION, identityOf(ref), { ...selector }]))
      const make = () =>
        ref.kind === 'snapshot'
          ? remembered({ ...parts, hashed }, key, ref, selector, signal)
          : hash({ ...parts, hashed }, ref, selector, signal)
      return known.of(key, make, signal)
    },
    refreshed: () => contentHasher(parts, hashed),
    files(digest) {
      const listing = hashed.get(digest)?.join('') ?? listings.load(digest)
      return listing === undefined ? undefined : parseListing(listing)
    },
    keep(digests) {
      for (const digest of digests) {
        const listing = hashed.get(digest)
        if (listing !== undefined) listings.save(digest, () => listing.join(''))
      }
    },
  }
}

type Parts = HasherDeps & { readonly hashed: Hashed }

function identityOf(ref: Ref): readonly string[] {
  return ref.kind === 'snapshot' ? ['layers', ...ref.layers] : ['files', ref.identity]
}

/** Layers never change, so neither does the digest: no file is read when an earlier build knew it. */
async function remembered(parts: Parts, key: string, ref: Ref, selector: ContentSelector, signal: AbortSignal): Promise<Digest> {
  const earlier = parts.memo.get(key)
  if (isDigest(earlier)) return earlier
  const digest = await hash(parts, ref, selector, signal)
  parts.memo.set(key, digest)
  return digest
}

async function hash(parts: Parts, ref: Ref, selector: ContentSelector, signal: AbortSignal): Promise<Digest> {
  const view = await viewOf(ref, parts, signal)
  const files = ref.kind === 'files' ? { statCache: parts.statCache(ref.identity), resetOwner: ref.resetOwner } : {}
  try {
    const listing: string[] = []
    const digest = await hashSources(view, selector, { ...files, listing, signal })
    parts.hashed.set(digest, listing)
    return digest
  } catch (error) {
    throw missing(error, ref, selector.path)
  }
}

/** A source that the ignore file hides is a different mistake than one that is not there. */
function missing(error: unknown, ref: Ref, path: string): unknown {
  const rule = ref.kind === 'files' && errorCode(error) === 'COPY_SOURCE_NOT_FOUND' ? ref.hiddenBy(path) : undefined
  if (rule === undefined) return error
  return new TbuildError('COPY_SOURCE_NOT_FOUND', (error as Error).message, {
    hint: `it is left out of the context by ${rule}`,
    cause: error,
  })
}

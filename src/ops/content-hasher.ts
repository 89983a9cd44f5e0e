import { canonicalJson } from '../base/canonical-json.ts'
import { type Digest, isDigest, sha256 } from '../base/digest.ts'
import { errorCode, TbuildError } from '../base/errors.ts'
import { SharedWork } from '../base/shared-work.ts'
import type { ContentListings } from '../store/content-listings.ts'
import { hashSources, type KnownFiles, type KnownTrees, parseListing } from '../tree/hash.ts'
import type { ContentHasher, ContentSelector, DigestMemo } from './content.ts'
import { type Ref, type ViewDeps, viewOf } from './ref.ts'

/** Raised when hash.ts changes what it hashes: remembered digests are then not found. */
const HASH_VERSION = 1

interface HasherDeps extends ViewDeps {
  readonly memo: DigestMemo
  /** Digests of files by identity and stat, for files that are not in the store. */
  readonly files: (identity: string) => KnownFiles
  /** Digests of directories by identity and scan. */
  readonly trees: (identity: string) => DigestMemo
  readonly listings: ContentListings
}

/** What was hashed in this build, by its digest. */
type Hashed = Map<Digest, readonly string[]>

export function contentHasher(deps: HasherDeps, hashed: Hashed = new Map()): ContentHasher {
  const known = new SharedWork<string, Digest>()
  const { listings } = deps
  return {
    digest(ref, selector, signal) {
      const key = sha256(canonicalJson([HASH_VERSION, identityOf(ref), { ...selector }]))
      const make = () =>
        ref.kind === 'snapshot'
          ? remembered({ ...deps, hashed }, key, ref, selector, signal)
          : hash({ ...deps, hashed }, ref, selector, signal)
      return known.of(key, make, signal)
    },
    refreshed: () => contentHasher(deps, hashed),
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

type HashingDeps = HasherDeps & { readonly hashed: Hashed }

function identityOf(ref: Ref): readonly string[] {
  return ref.kind === 'snapshot' ? ['layers', ...ref.layers] : ['files', ref.identity]
}

/** Layers never change, so neither does the digest: no file is read when an earlier build knew it. */
async function remembered(deps: HashingDeps, key: string, ref: Ref, selector: ContentSelector, signal: AbortSignal): Promise<Digest> {
  const earlier = deps.memo.get(key)
  if (isDigest(earlier)) return earlier
  const digest = await hash(deps, ref, selector, signal)
  deps.memo.set(key, digest)
  return digest
}

async function hash(deps: HashingDeps, ref: Ref, selector: ContentSelector, signal: AbortSignal): Promise<Digest> {
  const view = await viewOf(ref, deps, signal)
  const known =
    ref.kind === 'files' ? { files: deps.files(ref.identity), trees: listedTrees(deps, ref.identity), resetOwner: ref.resetOwner } : {}
  try {
    const listing: string[] = []
    const digest = await hashSources(view, selector, { ...known, listing, signal })
    if (listing.length > 0) deps.hashed.set(digest, listing)
    return digest
  } catch (error) {
    throw missing(error, ref, selector.path)
  }
}

/** Those of which it is known what they stand for: a record of this build may need it. */
function listedTrees({ trees, hashed, listings }: HashingDeps, identity: string): KnownTrees {
  const memo = trees(identity)
  return {
    get(key) {
      const digest = memo.get(key)
      return isDigest(digest) && (hashed.has(digest) || listings.has(digest)) ? digest : undefined
    },
    set: (key, digest) => memo.set(key, digest),
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

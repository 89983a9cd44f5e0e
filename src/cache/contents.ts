import { canonicalJson } from '../base/canonical-json.ts'
import type { Digest } from '../base/digest.ts'
import type { ContentHasher, ContentSelector } from '../ops/content.ts'
import type { Snapshot } from '../store/types.ts'

/** A digest of files in a root file system that this build asked for. */
export interface AskedContent {
  readonly layers: Snapshot
  readonly selector: ContentSelector
  readonly digest: Digest
}

/** What a content is found by. */
export function contentKey(layers: Snapshot, selector: ContentSelector): string {
  return canonicalJson([layers, { ...selector }])
}

/** A content hasher that asks an imported cache first, and remembers what was asked, for an exported one. Files of the context are never taken from a cache. */
export function carriedContents(
  inner: ContentHasher,
  imported: (key: string) => Digest | undefined,
): ContentHasher & { asked(): AskedContent[] } {
  const asked = new Map<string, AskedContent>()
  return {
    async digest(ref, selector, signal) {
      if (ref.kind !== 'snapshot') return inner.digest(ref, selector, signal)
      const key = contentKey(ref.layers, selector)
      const digest = imported(key) ?? (await inner.digest(ref, selector, signal))
      asked.set(key, { layers: ref.layers, selector, digest })
      return digest
    },
    files: (digest) => inner.files(digest),
    keep: (digests) => inner.keep(digests),
    asked: () => [...asked.values()],
  }
}

import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Digest, parseDigest, sha256 } from '../../src/base/digest.ts'
import { checkExpected, checkNotLonger, missingBlob, readWhole } from '../../src/store/blob-store.ts'
import type { BlobStore, Bytes } from '../../src/store/types.ts'

/** Blobs in memory, for callers that keep nothing. `path` has no answer. */
export function createMemoryBlobStore(): BlobStore {
  const blobs = new Map<Digest, Buffer>()

  async function* get(digest: Digest): Bytes {
    const data = blobs.get(parseDigest(digest))
    if (data === undefined) throw missingBlob(digest)
    yield data
  }

  return {
    get,
    async lend(digest, take) {
      const folder = mkdtempSync(join(tmpdir(), 'blob-'))
      const path = join(folder, 'blob')
      try {
        for await (const data of get(digest)) writeFileSync(path, data)
        const fd = openSync(path, 'r')
        await take(fd, statSync(path).size).finally(() => closeSync(fd))
      } finally {
        rmSync(folder, { recursive: true })
      }
    },
    async put(bytes, expected = {}) {
      if (expected.digest !== undefined) parseDigest(expected.digest)
      const chunks: Uint8Array[] = []
      let size = 0
      for await (const chunk of bytes instanceof Uint8Array ? [bytes] : bytes) {
        size += chunk.length
        checkNotLonger(size, expected)
        chunks.push(Uint8Array.from(chunk))
      }
      const data = Buffer.concat(chunks)
      const digest = sha256(data)
      checkExpected(digest, size, expected)
      blobs.set(digest, data)
      return { digest, size }
    },
    read: (digest, limit) => readWhole(get(digest), digest, limit),
    async stat(digest) {
      const data = blobs.get(parseDigest(digest))
      return data === undefined ? undefined : { size: data.length }
    },
    path(digest) {
      throw missingBlob(digest)
    },
    async *list() {
      yield* blobs.keys()
    },
    async delete(digest) {
      blobs.delete(parseDigest(digest))
    },
  }
}

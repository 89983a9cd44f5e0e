import { readSync } from 'node:fs'
import { sha256 } from '../../src/base/digest.ts'
import type { BlobStore, Bytes } from '../../src/store/types.ts'
import { createMemoryBlobStore } from '../support/memory-blob-store.ts'
import { collected, temporaryStore } from './temporary-store.ts'

const bytes = Buffer.from('the bytes of a layer')
const digest = sha256(bytes)

async function* stream(...parts: Uint8Array[]): Bytes {
  yield* parts
}

const implementations: [string, () => Promise<{ blobs: BlobStore; dispose(): Promise<void> }>][] = [
  ['on disk', async () => temporaryStore().then(({ store, dispose }) => ({ blobs: store.blobs, dispose }))],
  ['in memory', async () => ({ blobs: createMemoryBlobStore(), dispose: async () => {} })],
]

describe.each(implementations)('a blob store %s', (_name, make) => {
  let blobs: BlobStore
  let dispose: () => Promise<void>
  beforeEach(async () => {
    ;({ blobs, dispose } = await make())
  })
  afterEach(() => dispose())

  test('gives back what was put, whole or in parts', async () => {
    expect(await blobs.put(bytes)).toEqual({ digest, size: bytes.length })
    expect(await blobs.put(stream(bytes.subarray(0, 3), Buffer.alloc(0), bytes.subarray(3)))).toEqual({ digest, size: bytes.length })
    expect(Buffer.concat(await collected(blobs.get(digest)))).toEqual(bytes)
    expect(await blobs.read(digest, bytes.length)).toEqual(bytes)
    expect(await blobs.stat(digest)).toEqual({ size: bytes.length })
    expect(await collected(blobs.list())).toEqual([digest])
  })

  test('lends a blob as an open file', async () => {
    await blobs.put(bytes)
    const lent: Buffer[] = []
    await blobs.lend(digest, async (fd, size) => {
      const all = Buffer.alloc(size)
      readSync(fd, all, 0, size, 0)
      lent.push(all)
    })
    expect(Buffer.concat(lent)).toEqual(bytes)
    await expect(blobs.lend(digest, () => Promise.reject(new Error('disk full')))).rejects.toThrow('disk full')
    await expect(blobs.lend(sha256('other'), async () => {})).rejects.toMatchObject({ code: 'BLOB_MISSING' })
  })

  test('keeps the empty blob', async () => {
    const empty = await blobs.put(stream())
    expect(empty).toEqual({ digest: sha256(''), size: 0 })
    expect(await blobs.read(empty.digest, 0)).toHaveLength(0)
  })

  test('refuses other bytes than expected and keeps nothing of them', async () => {
    await expect(blobs.put(stream(bytes), { digest: sha256('other') })).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    await expect(blobs.put(bytes, { digest: sha256('other') })).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    await expect(blobs.put(stream(bytes), { size: bytes.length + 1 })).rejects.toMatchObject({ code: 'SIZE_MISMATCH' })
    expect(await collected(blobs.list())).toEqual([])
  })

  test('ends an endless stream at the expected size', async () => {
    let sent = 0
    async function* endless(): Bytes {
      for (;;) {
        sent += 1000
        yield Buffer.alloc(1000)
      }
    }
    await expect(blobs.put(endless(), { size: 2500 })).rejects.toMatchObject({ code: 'SIZE_MISMATCH' })
    expect(sent).toBe(3000)
  })

  test('passes a failing source on and keeps nothing', async () => {
    async function* failing(): Bytes {
      yield bytes
      throw new Error('connection reset')
    }
    await expect(blobs.put(failing())).rejects.toThrow('connection reset')
    expect(await collected(blobs.list())).toEqual([])
  })

  test('says that a blob is missing, and that one is too large', async () => {
    await expect(collected(blobs.get(digest))).rejects.toMatchObject({ code: 'BLOB_MISSING' })
    await expect(blobs.read(digest, 10)).rejects.toMatchObject({ code: 'BLOB_MISSING' })
    expect(await blobs.stat(digest)).toBeUndefined()
    await blobs.put(bytes)
    await expect(blobs.read(digest, bytes.length - 1)).rejects.toMatchObject({ code: 'BLOB_TOO_LARGE' })
  })

  test.each(['sha256:../../../etc/passwd', 'sha256:ABC', 'md5:0', '', `${digest}/x`])('refuses the digest %j', async (name) => {
    await expect(collected(blobs.get(name as never))).rejects.toMatchObject({ code: 'DIGEST_INVALID' })
    await expect(blobs.put(bytes, { digest: name as never })).rejects.toMatchObject({ code: 'DIGEST_INVALID' })
  })

  test('deletes, and deleting again is no error', async () => {
    await blobs.put(bytes)
    await blobs.delete(digest)
    await blobs.delete(digest)
    expect(await blobs.stat(digest)).toBeUndefined()
  })

  test('puts the same blob from many callers at once', async () => {
    const results = await Promise.all(Array.from({ length: 20 }, () => blobs.put(stream(bytes), { digest, size: bytes.length })))
    expect(new Set(results.map((result) => result.digest))).toEqual(new Set([digest]))
    expect(await collected(blobs.list())).toEqual([digest])
  })
})

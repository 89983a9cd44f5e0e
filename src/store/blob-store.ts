import { closeSync, existsSync, fstatSync, lstatSync, readFileSync, rmSync, unlinkSync } from 'node:fs'
import { type FileHandle, open, opendir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, hexOf, parseDigest, sha256 } from '../base/digest.ts'
import { errorCode, TbuildError } from '../base/errors.ts'
import { readCapped } from '../base/read-capped.ts'
import { hashFile, StreamHash } from '../base/stream-hash.ts'
import { fsyncDirectory } from './atomic-file.ts'
import { EarlyWriteback, syncFile } from './durability.ts'
import { openRegular, openRegularSync } from './regular-file.ts'
import { ifPresent, storeError } from './store-error.ts'
import type { BlobStore, Bytes, TakeFile } from './types.ts'

const CHUNK = 512 * 1024
/** Bytes of a document that is read at once: to hand it to threads takes longer. */
const SMALL = 256 * 1024

/** What the blobs of one store share with the rest of it. */
export interface BlobStoreDeps {
  /** blobs/sha256 of an OCI layout. */
  readonly folder: string
  /** A free path on the same file system. */
  readonly temporary: () => string
  /** Claims the blob before it is looked for: gc leaves it. */
  readonly use: <T>(digest: Digest, check: () => T) => Promise<T>
  /** Called when a blob was written. */
  readonly onGrowth?: () => void
  /** What is told when the operating system refuses something; a folder that is not the store's has no hints for the store. */
  readonly failure?: (error: unknown, doing: string) => unknown
}

type Expected = NonNullable<Parameters<BlobStore['put']>[1]>

/** An OCI layout's blobs/sha256 as a BlobStore: other tools read it. */
export function createBlobStore({ folder, temporary, use, onGrowth, failure = storeError }: BlobStoreDeps): BlobStore {
  const path = (digest: Digest) => join(folder, hexOf(parseDigest(digest)))

  async function* get(digest: Digest): Bytes {
    const file = await openBlob(path(digest), digest, failure)
    const hash = new StreamHash()
    try {
      for (;;) {
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK)
        if (bytesRead === 0) break
        const data = buffer.subarray(0, bytesRead)
        const full = hash.add(data)
        if (full !== undefined) await full
        yield data
      }
    } catch (error) {
      throw failure(error, `read the blob ${digest}`)
    } finally {
      await file.close()
    }
    if ((await hash.finish()) !== digest) throw corrupt(digest, 'its bytes have another digest')
  }

  async function lend(digest: Digest, take: TakeFile): Promise<void> {
    const file = await openBlob(path(digest), digest, failure)
    const stop = new AbortController()
    try {
      const { size } = await file.stat()
      const hashing = hashFile(file.fd, size, stop.signal).catch((error: unknown) => {
        throw failure(error, `read the blob ${digest}`)
      })
      const taking = take(file.fd, size).catch((error: unknown) => {
        stop.abort(error)
        throw error
      })
      // Both end before the file is closed; what stopped the one is what is wrong.
      const [hashed, taken] = await Promise.allSettled([hashing, taking])
      if (taken.status === 'rejected') throw taken.reason
      if (hashed.status === 'rejected') throw hashed.reason
      if (hashed.value !== digest) throw corrupt(digest, 'its bytes have another digest')
    } finally {
      await file.close()
    }
  }

  async function put(bytes: Bytes | Uint8Array, expected: Expected = {}): Promise<{ digest: Digest; size: number }> {
    if (expected.digest !== undefined) parseDigest(expected.digest)
    if (bytes instanceof Uint8Array) {
      const digest = sha256(bytes)
      checkExpected(digest, bytes.length, expected)
      const there = await stat(digest)
      if (there?.size === bytes.length) return { digest, size: bytes.length }
    }
    const half = temporary()
    try {
      const result = await writeHashed(half, bytes instanceof Uint8Array ? [bytes] : bytes, expected)
      await use(result.digest, () => {})
      await rename(half, path(result.digest))
      fsyncDirectory(folder)
      onGrowth?.()
      return result
    } catch (error) {
      rmSync(half, { force: true })
      throw failure(error, 'keep a blob')
    }
  }

  async function stat(digest: Digest): Promise<{ size: number } | undefined> {
    const file = path(digest)
    const found = await use(digest, () => ifPresent(() => lstatSync(file)))
    return found?.isFile() ? { size: found.size } : undefined
  }

  return {
    get,
    lend,
    put,
    stat,
    path,
    read: async (digest, limit) => readSmall(path(digest), digest, limit, failure) ?? readWhole(get(digest), digest, limit),
    async *list() {
      for await (const entry of await opendir(folder)) {
        if (entry.isFile() && /^[0-9a-f]{64}$/.test(entry.name)) yield `sha256:${entry.name}` as Digest
      }
    },
    async delete(digest) {
      try {
        ifPresent(() => unlinkSync(path(digest)))
      } catch (error) {
        throw failure(error, `delete the blob ${digest}`)
      }
    },
  }
}

/** Without a claim, for gc and verification. */
export function hasBlob(folder: string, digest: Digest): boolean {
  return existsSync(join(folder, hexOf(digest)))
}

/** Shared by all BlobStores: the whole of a stream that is at most `limit` bytes long. */
export async function readWhole(bytes: Bytes, digest: Digest, limit: number): Promise<Buffer> {
  const whole = await readCapped(bytes, limit)
  if (whole === undefined)
    throw new TbuildError('BLOB_TOO_LARGE', `the blob ${digest} has more than the ${limit} bytes that are allowed here`)
  return whole
}

/** DIGEST_MISMATCH or SIZE_MISMATCH when the bytes are not the expected ones. */
export function checkExpected(digest: Digest, size: number, expected: { digest?: Digest; size?: number }): void {
  if (expected.size !== undefined && size !== expected.size) throw sizeMismatch(size, expected.size)
  if (expected.digest !== undefined && digest !== expected.digest) {
    throw new TbuildError('DIGEST_MISMATCH', `wrong digest: expected ${expected.digest}, got ${digest}`, {
      hint: 'the source sends other bytes than it announced; try again, then do not trust it',
    })
  }
}

/** Ends a stream as soon as it is longer than announced. */
export function checkNotLonger(size: number, expected: { size?: number }): void {
  if (expected.size !== undefined && size > expected.size) throw sizeMismatch(`more than ${expected.size}`, expected.size)
}

function sizeMismatch(size: number | string, expected: number): TbuildError {
  return new TbuildError('SIZE_MISMATCH', `wrong size: expected ${expected} bytes, got ${size}`, {
    hint: 'the source sends other bytes than it announced; try again, then do not trust it',
  })
}

export function missingBlob(digest: Digest): TbuildError {
  return new TbuildError('BLOB_MISSING', `the store has no blob ${digest}`, {
    hint: 'run the build again; `tbuild verify-store` finds what else is missing',
  })
}

function corrupt(digest: Digest, why: string): TbuildError {
  return new TbuildError('BLOB_CORRUPT', `the blob ${digest} was altered on disk: ${why}`, {
    hint: 'run `tbuild verify-store`, then the build again',
  })
}

type Failure = NonNullable<BlobStoreDeps['failure']>

async function openBlob(path: string, digest: Digest, failure: Failure): Promise<FileHandle> {
  const file = await openRegular(path).catch((error: unknown) => {
    throw unreadable(error, digest, failure)
  })
  if (file === undefined) throw noFile(digest)
  return file
}

const unreadable = (error: unknown, digest: Digest, failure: Failure) =>
  errorCode(error) === 'ENOENT' ? missingBlob(digest) : failure(error, `read the blob ${digest}`)
const noFile = (digest: Digest) => corrupt(digest, 'it is not a regular file')

/** Undefined when it is larger, than this or than is allowed. */
function readSmall(path: string, digest: Digest, limit: number, failure: Failure): Buffer | undefined {
  let bytes: Buffer | undefined
  try {
    const fd = openRegularSync(path)
    if (fd === undefined) throw noFile(digest)
    try {
      if (fstatSync(fd).size > Math.min(limit, SMALL)) return undefined
      bytes = readFileSync(fd)
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    throw unreadable(error, digest, failure)
  }
  if (sha256(bytes) !== digest) throw corrupt(digest, 'its bytes have another digest')
  return bytes
}

/** Bytes that are written at once: a registry sends 64 KiB at a time, and each call to another thread costs as much as it takes to write them. */
const WRITE = 1024 * 1024

async function writeHashed(
  path: string,
  bytes: Bytes | Iterable<Uint8Array>,
  expected: Expected,
): Promise<{ digest: Digest; size: number }> {
  const file = await open(path, 'wx', 0o600)
  try {
    expected.growth?.begin(path)
    const hash = new StreamHash()
    const early = new EarlyWriteback(file.fd)
    let waiting: Uint8Array[] = []
    let written = 0
    let size = 0
    const write = async () => {
      await writeAll(file, waiting)
      written = size
      waiting = []
      early.reached(size)
      expected.growth?.grew(size)
    }
    for await (const chunk of bytes) {
      size += chunk.length
      checkNotLonger(size, expected)
      const full = hash.add(chunk)
      waiting.push(chunk)
      if (size - written >= WRITE) await write()
      if (full !== undefined) await full
    }
    await write()
    const digest = await hash.finish()
    checkExpected(digest, size, expected)
    await syncFile(file)
    return { digest, size }
  } finally {
    await file.close()
  }
}

async function writeAll(file: FileHandle, chunks: readonly Uint8Array[]): Promise<void> {
  let taken = chunks.length === 0 ? 0 : (await file.writev(chunks)).bytesWritten
  for (const chunk of chunks) {
    for (let at = Math.min(taken, chunk.length); at < chunk.length; ) at += (await file.write(chunk, at)).bytesWritten
    taken = Math.max(0, taken - chunk.length)
  }
}

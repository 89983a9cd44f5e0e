import { type Digest, RunningHash } from '../../base/digest.ts'
import { TbuildError } from '../../base/errors.ts'
import type { BlobStore, Bytes } from '../../store/types.ts'
import { digestMismatch } from './client.ts'

/** Passes bytes on while hashing; a longer blob stops at once, a shorter or different one rejects at its end, before anything is committed. */
export async function* verifiedBytes(bytes: Bytes, expected: { readonly digest: Digest; readonly size: number }, what: string): Bytes {
  const hash = new RunningHash()
  let size = 0
  for await (const chunk of bytes) {
    size += chunk.length
    if (size > expected.size) throw sizeMismatch(what, expected.size, `more than ${expected.size}`)
    hash.update(chunk)
    yield chunk
  }
  if (size !== expected.size) throw sizeMismatch(what, expected.size, String(size))
  const digest = hash.finish()
  if (digest !== expected.digest) throw digestMismatch(what, expected.digest, digest)
}

export function sizeMismatch(what: string, expected: number, found: string): TbuildError {
  return new TbuildError('SIZE_MISMATCH', `${what}: expected ${expected} bytes, got ${found}`, {
    hint: 'the transfer was cut short or the image is damaged; nothing of it was kept',
  })
}

/** Fetches a blob into the store, unless it is there; digest and size are verified while it streams. */
export async function fetchToBlobStore(
  blobs: BlobStore,
  descriptor: { readonly digest: Digest; readonly size: number },
  open: () => Promise<Bytes>,
  what: string,
): Promise<void> {
  const known = await blobs.stat(descriptor.digest)
  if (known !== undefined) {
    if (known.size !== descriptor.size) throw sizeMismatch(what, descriptor.size, String(known.size))
    return
  }
  await blobs.put(verifiedBytes(await open(), descriptor, what), descriptor)
}

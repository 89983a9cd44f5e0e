import { errorOf, isTbuildError } from '../base/errors.ts'
import type { Bytes } from '../store/types.ts'
import { detectCompression } from './compression.ts'
import { readTar } from './read.ts'
import { ByteSource } from './source.ts'
import type { TarItem } from './types.ts'

export interface ArchiveLimits {
  /** Bytes that may come out of the compression, and bytes of files. */
  readonly maxBytes?: number
  readonly signal?: AbortSignal | undefined
}

/**
 * The entries of an archive that ADD unpacks, compressed or not (F26). As with BuildKit nothing that stands behind its end matters, but that the compressed member
 * in which it ends is read to its own end: one that is cut, or whose checksum or length is wrong, is DECOMPRESS_FAILED, and so no damaged download is taken for a whole one.
 */
export async function* readArchive(bytes: Bytes, { maxBytes, signal }: ArchiveLimits = {}): AsyncGenerator<TarItem, void, undefined> {
  const limits = maxBytes === undefined ? {} : { maxBytes }
  let ended = false
  const onEnd = () => {
    ended = true
  }
  yield* readTar(
    decompressed(bytes, { ...limits, ...(signal && { signal }) }, () => ended),
    { ...limits, onEnd },
  )
}

/** An error about an archive with the archive's name. */
export function withArchiveName(name: string, error: unknown): unknown {
  return isTbuildError(error) && /^(ARCHIVE|COMPRESSION|DECOMPRESS|TAR)_/.test(error.code) ? errorOf(name, error) : error
}

/** Errors come last, so that what follows the member in which the archive ends does not spoil it. */
async function* decompressed(
  bytes: Bytes,
  limits: { readonly maxBytes?: number; readonly signal?: AbortSignal },
  enough: () => boolean,
): AsyncGenerator<Uint8Array> {
  const source = new ByteSource(bytes)
  const compression = detectCompression(await source.peek(6))
  if (compression !== 'none') {
    const { decompress } = await import('./decompress.ts')
    yield* decompress(source.rest(), compression, { ...limits, errorsLast: true, enough })
    return
  }
  for await (const chunk of source.rest()) {
    yield chunk
    if (enough()) return
  }
}

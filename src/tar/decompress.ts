import { createGunzip } from 'node:zlib'
import { isTbuildError, TbuildError } from '../base/errors.ts'
import { limitHint } from '../base/limits.ts'
import type { Bytes } from '../store/types.ts'
import { throughTransform } from './transform.ts'
import type { Compression } from './types.ts'

export interface DecompressLimits {
  /** Bytes that may come out; TAR_LIMIT beyond. A ratio is no limit: zeros alone reach 1000 to 1. */
  readonly maxBytes?: number
  /** The deadline, and the way to stop a decoder that a malformed stream keeps busy. */
  readonly signal?: AbortSignal
}

/** Decoders run in this process: a program found in an image or on the host never sees the bytes (CVE-2019-14271, CVE-2026-41567). */
const DECODERS: Readonly<Record<Compression, (bytes: Bytes) => Bytes | Promise<Bytes>>> = {
  none: (bytes) => bytes,
  gzip: gunzip,
  bzip2: async (bytes) => (await import('./bzip2.ts')).bunzip2(bytes),
  xz: async (bytes) => (await import('./xz.ts')).unxz(bytes),
  zstd: async (bytes) => (await import('./zstd.ts')).unzstd(bytes),
}

/** Multi-member gzip, bzip2, xz and zstd. The source is read to its end; its own errors pass unchanged, those of the decoder are DECOMPRESS_FAILED. */
export async function* decompress(
  bytes: Bytes,
  kind: Compression,
  limits: DecompressLimits = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const { maxBytes = Number.MAX_SAFE_INTEGER, signal } = limits
  let size = 0
  try {
    for await (const chunk of await DECODERS[kind](bytes)) {
      signal?.throwIfAborted()
      size += chunk.length
      if (size > maxBytes)
        throw new TbuildError('TAR_LIMIT', `the ${kind} stream holds more than ${maxBytes} bytes and is refused`, {
          hint: limitHint('unpack'),
        })
      yield chunk
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason
    throw isTbuildError(error) || !isDecoderError(error) ? error : failed(kind, error)
  }
}

/** zlib's codes begin with Z_, the wrapped decoders throw plain Errors without a code; a read error (ENOENT, EIO) is neither. */
function isDecoderError(error: unknown): boolean {
  const code = (error as { code?: unknown }).code
  return typeof code !== 'string' || code.startsWith('Z_') || code.startsWith('ERR_')
}

function failed(kind: Compression, cause: unknown): TbuildError {
  return new TbuildError('DECOMPRESS_FAILED', `the ${kind} stream is corrupt: ${(cause as Error)?.message ?? cause}`, { cause })
}

/** Many members follow one another without recursion, in zlib's own loop (CVE-2022-30631). */
function gunzip(bytes: Bytes): Bytes {
  return throughTransform(bytes, createGunzip({ chunkSize: 256 * 1024 }))
}

import { createGunzip } from 'node:zlib'
import { isTbuildError, TbuildError } from '../base/errors.ts'
import type { Bytes } from '../store/types.ts'
import { limitHint } from '../values/limits.ts'
import { throughTransform } from './transform.ts'
import type { Compression } from './types.ts'

export interface DecompressLimits {
  /** Bytes that may come out; TAR_LIMIT beyond. A ratio is no limit: zeros alone reach 1000 to 1. */
  readonly maxBytes?: number
  /** The deadline, and the way to stop a decoder that a malformed stream keeps busy. */
  readonly signal?: AbortSignal
}

export interface DecompressOptions extends DecompressLimits {
  /**
   * All that stands before an error comes out before it is thrown, as from Go's decoders: a reader that stops at an archive's end never meets what is wrong
   * behind it. Slower where many small members follow one another.
   */
  readonly errorsLast?: boolean
  /** Asked behind each member (stream, frame) that is whole and right, with `errorsLast`: true ends the stream there, whatever follows. */
  readonly enough?: () => boolean
}

/** Decoders run in this process: a program found in an image or on the host never sees the bytes (CVE-2019-14271, CVE-2026-41567). */
const DECODERS: Readonly<Record<Compression, (bytes: Bytes, errorsLast: boolean, enough: () => boolean) => Bytes | Promise<Bytes>>> = {
  none: (bytes) => bytes,
  gzip: async (bytes, errorsLast, enough) => (errorsLast ? (await import('./gunzip.ts')).gunzipMembers(bytes, enough) : gunzip(bytes)),
  bzip2: async (bytes, _, enough) => (await import('./bzip2.ts')).bunzip2(bytes, enough),
  xz: async (bytes, _, enough) => (await import('./xz.ts')).unxz(bytes, enough),
  zstd: async (bytes, errorsLast, enough) => (await import('./zstd.ts')).unzstd(bytes, errorsLast, enough),
}

const never = () => false

/** Multi-member gzip, bzip2, xz and zstd. The source is read to its end; its own errors pass unchanged, those of the decoder are DECOMPRESS_FAILED. */
export async function* decompress(
  bytes: Bytes,
  kind: Compression,
  options: DecompressOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const { maxBytes = Number.MAX_SAFE_INTEGER, signal, errorsLast = false, enough = never } = options
  let size = 0
  try {
    for await (const chunk of await DECODERS[kind](signal === undefined ? bytes : whileWanted(bytes, signal), errorsLast, enough)) {
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

/** A decoder may take in much before it gives anything: empty members, or a header without end. */
async function* whileWanted(bytes: Bytes, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    signal.throwIfAborted()
    yield chunk
  }
}

/** zlib's codes begin with Z_, the other decoders throw plain Errors without a code; a read error (ENOENT, EIO) is neither. */
function isDecoderError(error: unknown): boolean {
  const code = (error as { code?: unknown }).code
  return typeof code !== 'string' || /^(Z|ERR)_/.test(code)
}

function failed(kind: Compression, cause: unknown): TbuildError {
  return new TbuildError('DECOMPRESS_FAILED', `the ${kind} stream is corrupt: ${(cause as Error)?.message ?? cause}`, {
    hint: 'it is damaged or cut short: fetch or make it again',
    cause,
  })
}

/** Bytes that another thread decodes before this one is asked: less costs more turns than decoding. */
const OUTPUT = 1024 * 1024

/** Many members follow one another without recursion, in zlib's own loop (CVE-2022-30631). */
function gunzip(bytes: Bytes): Bytes {
  return throughTransform(bytes, createGunzip({ chunkSize: OUTPUT }))
}

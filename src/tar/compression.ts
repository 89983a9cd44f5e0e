import type { Bytes } from '../store/types.ts'
import { BLOCK, decodeHeader, isZeroBlock } from './header.ts'
import { asBuffer, ByteSource } from './source.ts'
import type { Compression } from './types.ts'

// Values are hexadecimal. F26: the four that BuildKit's ADD unpacks; zstd includes its skippable frames.
const MAGIC: readonly (readonly [Compression, RegExp])[] = [
  ['gzip', /^1f8b08/],
  ['bzip2', /^425a68/],
  ['xz', /^fd377a585a00/],
  ['zstd', /^(28b52ffd|5.2a4d18)/],
]

/** What the first bytes (6 are enough) say; anything else is 'none'. */
export function detectCompression(head: Uint8Array): Compression {
  const hex = asBuffer(head).toString('hex', 0, 6)
  return MAGIC.find(([, pattern]) => pattern.test(hex))?.[0] ?? 'none'
}

/**
 * F26: what ADD unpacks is told by content alone: the bytes, decompressed where a magic number says so, begin with a header block that parses.
 * An empty archive (nothing, or only zeros) is no archive.
 */
export async function isTarArchive(bytes: Bytes, signal?: AbortSignal): Promise<boolean> {
  const source = new ByteSource(bytes)
  try {
    const head = await source.peek(6)
    const compression = detectCompression(head)
    if (compression === 'none') return startsWithHeader(await source.read(BLOCK).catch(() => undefined))
    const { decompress } = await import('./decompress.ts')
    const inner = new ByteSource(decompress(source.rest(), compression, { errorsLast: true, ...(signal && { signal }) }))
    try {
      return startsWithHeader(await inner.read(BLOCK))
    } finally {
      await inner.close()
    }
  } catch {
    signal?.throwIfAborted()
    // Not the compression that it looked like, or too short: then it is a file as any other. A file that cannot be read fails again when it is copied.
    return false
  } finally {
    await source.close()
  }
}

function startsWithHeader(block: Buffer | undefined): boolean {
  if (block === undefined || isZeroBlock(block)) return false
  try {
    decodeHeader(block, 0)
    return true
  } catch {
    return false
  }
}

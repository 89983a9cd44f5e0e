import { constants, crc32, createInflateRaw, inflateRawSync } from 'node:zlib'
import type { Bytes } from '../store/types.ts'
import { ByteSource } from './source.ts'
import { inPieces } from './transform.ts'

// RFC 1952, 2.3.1: FLG.
const FHCRC = 2
const FEXTRA = 4
const FNAME = 8
const FCOMMENT = 16
const RESERVED = 0xe0

/** Bytes of a file's name or comment, the zero at its end counted. */
const MAX_TEXT = 512

/** Input bytes of the first piece of a member, and what a piece may grow to by doubling. */
const FIRST_PIECE = 256
const LAST_PIECE = 256 * 1024

/** A member that lies within so many bytes of input, and makes no more than that, is decoded at one go. */
const SMALL = 16 * 1024
const SMALL_OUTPUT = 128 * 1024

/**
 * All members of a gzip file, as Node's Gunzip decodes them, but that an error takes nothing with it, and headers are as long as Go's reader takes them:
 * what stands before a bad header, a wrong checksum or the end of a truncated file comes out first, as from that. Gunzip drops what it decoded in the same write. It is the faster one for many small
 * members, and verified blobs are whole or nothing: so they keep it.
 */
export async function* gunzipMembers(bytes: Bytes, enough: () => boolean): AsyncGenerator<Uint8Array, void, undefined> {
  const source = new ByteSource(bytes, truncated)
  try {
    while (await memberHeader(source)) {
      let crc = 0
      let size = 0
      const small = smallMember(source)
      for await (const part of small === undefined ? inflate(source) : [small]) {
        crc = crc32(part, crc)
        size += part.length
        yield part
      }
      const trailer = await need(source, 8)
      if (trailer.readUInt32LE(0) !== crc) throw new Error('incorrect data check')
      if (trailer.readUInt32LE(4) !== size % 2 ** 32) throw new Error('incorrect length check')
      if (enough()) return
    }
  } finally {
    await source.close()
  }
}

function truncated(): Error {
  return new Error('unexpected end of file')
}

async function need(source: ByteSource, count: number): Promise<Buffer> {
  const bytes = source.tryRead(count) ?? (await source.read(count))
  if (bytes === undefined) throw truncated()
  return bytes
}

/** False at the end: of the file, or where zeros begin, which gzip takes for padding. */
async function memberHeader(source: ByteSource): Promise<boolean> {
  if (!(await source.fill()) || source.ready(1)[0] === 0) return false
  const fixed = await need(source, 10)
  const flags = fixed[3] as number
  if (fixed.readUInt16BE(0) !== 0x1f8b) throw new Error('incorrect header check')
  if (fixed[2] !== 8) throw new Error('unknown compression method')
  if ((flags & RESERVED) !== 0) throw new Error('unknown header flags set')
  let crc = crc32(fixed)
  const field = async (count: number) => {
    const bytes = await need(source, count)
    crc = crc32(bytes, crc)
    return bytes
  }
  if (flags & FEXTRA) await field((await field(2)).readUInt16LE(0))
  for (const flag of [FNAME, FCOMMENT]) if (flags & flag) await text(field)
  const expected = crc & 0xffff
  if (flags & FHCRC && (await need(source, 2)).readUInt16LE(0) !== expected) throw new Error('header crc mismatch')
  return true
}

/** A string that ends with a zero, in as many bytes as Go's reader takes. */
async function text(field: (count: number) => Promise<Buffer>): Promise<void> {
  for (let length = 1; (await field(1))[0] !== 0; length += 1) if (length === MAX_TEXT) throw new Error('incorrect header check')
}

/** A stream for each of a million tiny members would cost ten times as much. */
function smallMember(source: ByteSource): Buffer | undefined {
  const input = source.ready(SMALL)
  try {
    const options = { info: true, chunkSize: SMALL, maxOutputLength: SMALL_OUTPUT, finishFlush: constants.Z_SYNC_FLUSH }
    // Typed as if `info` were not there.
    const { buffer, engine } = inflateRawSync(input, options) as unknown as { buffer: Buffer; engine: { bytesWritten: number } }
    // All of the input taken: whether the member ends there is not told.
    if (engine.bytesWritten === input.length) return undefined
    source.take(engine.bytesWritten)
    return buffer
  } catch {
    // Too long, or corrupt: then what comes before that is wanted.
    return undefined
  }
}

/** The deflate stream of one member; the source goes on behind it. */
async function* inflate(source: ByteSource): AsyncGenerator<Uint8Array> {
  const inflater = createInflateRaw({ chunkSize: 256 * 1024 })
  async function* pieces() {
    // A corrupt byte hides what its own piece made, hence the small ones: the first header of a tar is never hidden by what is far from it.
    for (let size = FIRST_PIECE, used = 0; ; size = Math.min(size * 2, LAST_PIECE)) {
      if (!(await source.fill())) throw truncated()
      const piece = source.ready(size)
      yield piece
      source.take(inflater.bytesWritten - used)
      // zlib left some of it: the stream ended. Bytes always follow, those of the trailer.
      if (inflater.bytesWritten - used < piece.length) return
      used = inflater.bytesWritten
    }
  }
  yield* inPieces(pieces(), inflater)
}

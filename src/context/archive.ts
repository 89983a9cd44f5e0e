import { mkdirSync } from 'node:fs'
import { isTarArchive } from '../tar/compression.ts'
import { type ArchiveLimits, readArchive, withArchiveName } from '../tar/read-archive.ts'
import { unpackArchive } from '../tree/unpack.ts'
import { layeredView } from '../tree/view.ts'
import { layerWriter } from '../tree/writer.ts'
import { readAll } from './dockerfile.ts'

/** What tells whether bytes are an archive: no less than the longest block of bzip2, none of which is decoded before it is whole. */
export const HEAD = 4 * 1024 * 1024

/** Unpacks a context that arrives as a tar of any compression; when the bytes are none, gives them back whole (D8). */
export async function unpackIfArchive(
  bytes: AsyncIterable<Uint8Array>,
  folder: string,
  limits: ArchiveLimits,
): Promise<Buffer | undefined> {
  const { head, rest, drain } = await peek(bytes, HEAD)
  if (!(await isTarArchive(only(head)))) return readAll(rest)
  mkdirSync(folder, { mode: 0o700, recursive: true })
  try {
    await unpackArchive(readArchive(rest, limits), layerWriter(folder, layeredView([])), { target: '', signal: limits.signal })
  } catch (error) {
    throw withArchiveName('the context on standard input', error)
  }
  // What stands behind the archive's end means nothing, but who writes it into a pipe must not be told that nobody reads.
  await drain()
  return undefined
}

/** The first bytes, the whole stream with them, and the way to read what is left of it. */
async function peek(
  bytes: AsyncIterable<Uint8Array>,
  size: number,
): Promise<{ head: Buffer; rest: AsyncIterable<Uint8Array>; drain: () => Promise<void> }> {
  const iterator = bytes[Symbol.asyncIterator]()
  const chunks: Uint8Array[] = []
  let length = 0
  while (length < size) {
    const { done, value } = await iterator.next()
    if (done) break
    chunks.push(value)
    length += value.length
  }
  async function* rest() {
    yield* chunks
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value
  }
  const drain = async () => {
    while (!(await iterator.next()).done);
  }
  return { head: Buffer.concat(chunks), rest: rest(), drain }
}

export async function* only(chunk: Uint8Array): AsyncGenerator<Uint8Array> {
  yield chunk
}

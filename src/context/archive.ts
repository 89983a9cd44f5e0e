import { mkdirSync } from 'node:fs'
import { decompressAny, isTarArchive } from '../tar/compression.ts'
import { readTar } from '../tar/read.ts'
import { unpackArchive } from '../tree/unpack.ts'
import { layeredView } from '../tree/view.ts'
import { layerWriter } from '../tree/writer.ts'
import { readAll } from './dockerfile.ts'

/** Unpacks a context that arrives as a tar of any compression; when the bytes are none, gives them back whole (D8). */
export async function unpackIfArchive(bytes: AsyncIterable<Uint8Array>, folder: string, maxBytes: number): Promise<Buffer | undefined> {
  const { head, rest } = await peek(bytes, 16 * 1024)
  if (!(await isTarArchive(only(head)))) return readAll(rest)
  mkdirSync(folder, { mode: 0o700, recursive: true })
  await unpackArchive(readTar(decompressAny(rest, { maxBytes }), { maxBytes }), layerWriter(folder, layeredView([])), { target: '' })
  return undefined
}

/** The first bytes, and the whole stream with them. */
async function peek(bytes: AsyncIterable<Uint8Array>, size: number): Promise<{ head: Buffer; rest: AsyncIterable<Uint8Array> }> {
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
  return { head: Buffer.concat(chunks), rest: rest() }
}

export async function* only(chunk: Uint8Array): AsyncGenerator<Uint8Array> {
  yield chunk
}

import { readTar, type TarLimits } from '../../../src/tar/read.ts'
import type { TarEntry, TarItem } from '../../../src/tar/types.ts'
import { writeTar } from '../../../src/tar/write.ts'

/** An entry and its content at once, as tests write and compare them. */
export interface Whole {
  readonly entry: TarEntry
  readonly data: Buffer
}

export function entry(name: string | Buffer, more: Partial<TarEntry> = {}): TarEntry {
  return { name: Buffer.from(name as string), type: 'file', mode: 0o644, uid: 0, gid: 0, size: 0, mtime: 0, ...more }
}

export function file(name: string | Buffer, data: string | Buffer, more: Partial<TarEntry> = {}): Whole {
  const bytes = Buffer.from(data as string)
  return { entry: entry(name, { size: bytes.length, ...more }), data: bytes }
}

/** Bytes in chunks of `size`, so that reads span them. */
export async function* chunks(bytes: Uint8Array, size = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size)
}

export async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of bytes) parts.push(part)
  return Buffer.concat(parts)
}

export function write(items: readonly Whole[]): Promise<Buffer> {
  return collect(writeTar(items.map(({ entry, data }): TarItem => ({ entry, content: chunks(data, 100) }))))
}

export async function read(archive: Uint8Array, limits: TarLimits = {}, chunkSize?: number): Promise<Whole[]> {
  const found: Whole[] = []
  for await (const { entry, content } of readTar(chunks(archive, chunkSize), limits)) found.push({ entry, data: await collect(content) })
  return found
}

/** A ustar block with anything in its fields, checksum right: for archives that no honest writer makes. */
export function rawHeader(fields: {
  name?: string | Buffer
  type?: string
  size?: number | Buffer
  magic?: string
  linkname?: string
  patch?: (block: Buffer) => void
}): Buffer {
  const block = Buffer.alloc(512)
  Buffer.from((fields.name ?? 'f') as string).copy(block, 0, 0, 100)
  block.write('0000644\x000000000\x000000000\0', 100, 'latin1')
  if (Buffer.isBuffer(fields.size)) fields.size.copy(block, 124)
  else block.write(`${(fields.size ?? 0).toString(8).padStart(11, '0')}\0`, 124, 'latin1')
  block.write('00000000000\0', 136, 'latin1')
  block.write(fields.type ?? '0', 156, 'latin1')
  block.write(fields.linkname ?? '', 157, 'latin1')
  block.write(fields.magic ?? 'ustar\x0000', 257, 'latin1')
  fields.patch?.(block)
  block.fill(0x20, 148, 156)
  let sum = 0
  for (const byte of block) sum += byte
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

export function padded(data: string | Buffer): Buffer {
  const bytes = Buffer.from(data as string)
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)])
}

/** A header and its content. */
export function rawMember(fields: Parameters<typeof rawHeader>[0], data: string | Buffer = ''): Buffer {
  return Buffer.concat([rawHeader({ size: Buffer.byteLength(data as string), ...fields }), padded(data)])
}

export const END = Buffer.alloc(1024)

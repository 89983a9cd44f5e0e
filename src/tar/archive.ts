import type { Sink } from '../caller/caller.ts'
import type { Bytes, TakeFile } from '../store/types.ts'
import { BLOCK } from './header.ts'
import type { TarEntry } from './types.ts'
import { encodeEntry, sizeChanged } from './write.ts'

/** A plain file of an image archive: mode 0644 (a directory 0755), owner 0:0. */
export interface ArchiveMember {
  readonly name: string
  /** Bytes. */
  readonly size: number
  readonly content: Uint8Array | StoredContent
}

/** What is opened when its turn comes, so that one file is open at a time. */
export interface StoredContent {
  open(): Bytes
  /** As an open file, where it is one. */
  lend?(take: TakeFile): Promise<void>
}

/** What an archive is written to. */
export type ArchiveSink = Pick<Sink, 'write' | 'writeFile'>

const END = Buffer.alloc(2 * BLOCK)

/**
 * A tar of a few plain files, sorted by the caller: what OCI and docker archives are. Times are the epoch, so equal members give equal bytes, also where a sink
 * takes whole files. Directories come before their first file, as BuildKit and `docker save` write them.
 */
export async function writeArchive(members: Iterable<ArchiveMember>, sink: ArchiveSink): Promise<void> {
  const directories = new Set<string>()
  for (const member of members) {
    for (const name of parents(member.name)) {
      if (!directories.has(name)) await writeHeader({ name: Buffer.from(name), type: 'directory', size: 0 }, sink)
      directories.add(name)
    }
    const entry = { name: Buffer.from(member.name), type: 'file', size: member.size } as const
    await writeHeader(entry, sink)
    await writeContent(member, sink)
    if (member.size % BLOCK !== 0) await sink.write(END.subarray(0, BLOCK - (member.size % BLOCK)))
  }
  await sink.write(END)
}

/** `a`, `a/b` of a/b/c. */
function parents(name: string): string[] {
  const parts = name.split('/').slice(0, -1)
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'))
}

function writeHeader({ name, type, size }: Pick<TarEntry, 'name' | 'type' | 'size'>, sink: ArchiveSink): Promise<void> {
  const mode = type === 'directory' ? 0o755 : 0o644
  return sink.write(Buffer.concat(encodeEntry({ name, type, size, mode, uid: 0, gid: 0, mtime: 0 })))
}

/** All bytes of the member, by the shortest way that both sides have. TAR_SIZE_MISMATCH when there are not so many. */
export async function writeContent({ name, size, content }: ArchiveMember, sink: ArchiveSink): Promise<void> {
  let written = 0
  const check = () => {
    if (written > size) throw sizeChanged({ name: Buffer.from(name), size }, written)
  }
  const writeFile = sink.writeFile?.bind(sink)
  if (content instanceof Uint8Array) {
    written = content.length
    check()
    await sink.write(content)
  } else if (content.lend !== undefined && writeFile !== undefined) {
    await content.lend(async (fd, length) => {
      written = length
      check()
      await writeFile(fd, length)
    })
  } else {
    for await (const chunk of content.open()) {
      written += chunk.length
      check()
      await sink.write(chunk)
    }
  }
  if (written !== size) throw sizeChanged({ name: Buffer.from(name), size }, written)
}

import type { Writable } from 'node:stream'
import { pack } from 'tar-stream'
import type { Bytes } from '../store/types.ts'

/** A plain file of an image archive: ASCII name, mode 0644 (a directory 0755), owner 0:0. */
export interface ArchiveMember {
  readonly name: string
  readonly size: number
  readonly content: Bytes | Uint8Array
}

/**
 * A tar of a few plain files, sorted by the caller: what OCI and docker archives are. Here tar-stream is exact (ASCII names within ustar's limits, small
 * ids, sizes in base 256 beyond 8 GiB), and nothing else of the format is needed. Times are the epoch, so equal members give equal bytes.
 * Directories come before their first file, as BuildKit and `docker save` write them.
 */
export async function* packArchive(
  members: AsyncIterable<ArchiveMember> | Iterable<ArchiveMember>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const archive = pack()
  const written = write(archive, members).catch((error: unknown) => archive.destroy(error as Error))
  try {
    for await (const chunk of archive) yield chunk as Uint8Array
  } finally {
    archive.destroy()
    await written
  }
}

type Pack = ReturnType<typeof pack>

async function write(archive: Pack, members: AsyncIterable<ArchiveMember> | Iterable<ArchiveMember>): Promise<void> {
  const directories = new Set<string>()
  for await (const member of members) {
    for (const name of parents(member.name)) {
      if (!directories.has(name)) archive.entry({ name, type: 'directory', mode: 0o755, mtime: EPOCH })
      directories.add(name)
    }
    await writeFile(archive, member)
  }
  archive.finalize()
}

const EPOCH = new Date(0)

/** `a/`, `a/b/` of a/b/c. */
function parents(name: string): string[] {
  const parts = name.split('/').slice(0, -1)
  return parts.map((_, index) => `${parts.slice(0, index + 1).join('/')}/`)
}

async function writeFile(archive: Pack, { name, size, content }: ArchiveMember): Promise<void> {
  let finish: (error?: Error | null) => void = () => {}
  const finished = new Promise<void>((resolve, reject) => {
    finish = (error) => (error ? reject(error) : resolve())
  })
  finished.catch(() => {})
  // Typed as Node's: the declarations of streamx lag behind it.
  const entry = archive.entry({ name, size, mode: 0o644, mtime: EPOCH, type: 'file' }, finish) as unknown as Writable
  // A failure is thrown to whoever reads the archive; here it would be an event that nobody hears.
  entry.on('error', () => {})
  for await (const chunk of content instanceof Uint8Array ? [content] : content) {
    if (!entry.write(chunk)) await Promise.race([finished, new Promise((resolve) => entry.once('drain', resolve))])
  }
  entry.end()
  await finished
}

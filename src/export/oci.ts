import { lstat, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, hexOf } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import { filled } from '../caller/sinks.ts'
import type { Image } from '../image/types.ts'
import { fileSink } from '../store/file-sink.ts'
import { changeLayout, readLayoutIndex, writeLayoutIndex } from '../store/image-layout.ts'
import { type ArchiveMember, type ArchiveSink, writeArchive, writeContent } from '../tar/archive.ts'
import { type Descriptor, OCI_LAYOUT } from '../values/oci.ts'
import { type Content, type ContentBlob, collectContent, type Exported, type ExportOptions, indexFile } from './content.ts'

/** An OCI image layout (image-layout.md) in a tar, members sorted by name; one image, or several as an index. */
export async function exportOciTar(content: Content, sink: ArchiveSink): Promise<Exported> {
  const members = [...blobMembers(content), member('index.json', indexFile(content.entries)), member('oci-layout', Buffer.from(OCI_LAYOUT))]
  await writeArchive(members, sink)
  return content.exported
}

/**
 * An OCI image layout as a directory. What is there stays: blobs are only added, index.json is replaced by a rename after all blobs are there, with the
 * entries of other names kept.
 */
export async function exportOciDirectory(
  images: readonly Image[],
  directory: string,
  options: ExportOptions & { readonly signal?: AbortSignal } = {},
): Promise<Exported> {
  const content = await collectContent(images, options)
  await changeLayout(directory, options.signal, async () => {
    const before = await readEntries(directory)
    await mkdir(join(directory, 'blobs/sha256'), { recursive: true })
    for (const blob of content.blobs) await writeBlob(directory, blob)
    await writeLayoutIndex(directory, indexFile(mergeEntries(before, content.entries)))
  })
  return content.exported
}

/** Shared with the docker archive, which is a layout with a manifest.json. */
export function blobMembers(content: Content): ArchiveMember[] {
  return content.blobs.map((blob) => ({ name: blobPath(blob.digest), size: blob.size, content: blob.content }))
}

export function member(name: string, content: Buffer): ArchiveMember {
  return { name, size: content.length, content }
}

export function blobPath(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`
}

async function writeBlob(directory: string, { digest, size, content }: ContentBlob): Promise<void> {
  const path = join(directory, blobPath(digest))
  const there = await lstat(path).catch(() => undefined)
  // Only a regular file of the right length counts: a symlink in a foreign layout is replaced, not followed.
  if (there?.isFile() && there.size === size) return
  if (there?.isDirectory()) await rm(path, { recursive: true })
  await filled(fileSink(path, directory), (sink) => writeContent({ name: path, size, content }, sink))
}

const MAX_INDEX = 4 * 1024 * 1024

async function readEntries(directory: string): Promise<Descriptor[]> {
  const path = join(directory, 'index.json')
  try {
    const index = await readLayoutIndex(directory, MAX_INDEX)
    if (index === undefined) return []
    const { manifests } = JSON.parse(index.toString('utf8')) as { manifests?: unknown }
    if (!Array.isArray(manifests)) throw new SyntaxError('no manifests')
    if (manifests.some((entry) => entry === null || typeof entry !== 'object')) throw new SyntaxError('an entry that is no object')
    return manifests as Descriptor[]
  } catch (cause) {
    throw new TbuildError('EXPORT_LAYOUT_INVALID', `${path} is not the index of an OCI image layout`, {
      hint: 'export to an empty directory, or remove the file',
      cause,
    })
  }
}

/** A name points to one image: its old entry goes, and so does an entry that would stand twice. */
function mergeEntries(old: readonly Descriptor[], added: readonly Descriptor[]): Descriptor[] {
  const nameOf = (entry: Descriptor) => entry.annotations?.['io.containerd.image.name']
  const replaced = (entry: Descriptor) =>
    added.some((other) =>
      nameOf(other) === undefined ? nameOf(entry) === undefined && other.digest === entry.digest : nameOf(other) === nameOf(entry),
    )
  return [...old.filter((entry) => !replaced(entry)), ...added]
}

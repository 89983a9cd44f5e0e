import { createReadStream } from 'node:fs'
import { DEFAULT_LIMITS } from '../values/limits.ts'
import { keyOf } from './node.ts'
import { type Key, shown } from './path.ts'
import type { TreeNode, TreeView } from './types.ts'
import { type ArchiveOptions, unpackArchive } from './unpack.ts'
import type { LayerWriter } from './writer.ts'

export interface ArchiveTarget extends Pick<ArchiveOptions, 'owner' | 'signal' | 'onSkipped' | 'maxBytes'> {
  readonly writer: LayerWriter
  /** Makes the destination directory (F27) and says where it is. */
  readonly directory: () => Key
}

/** F26: unpacks a file that is a tar, compressed or not, by its content; false when it is none. --unpack=true asks for no more than that. */
export async function unpackArchiveFile(view: TreeView, node: TreeNode, target: ArchiveTarget): Promise<boolean> {
  if (node.stat.size === 0) return false
  // Lazily: most builds copy no archive, and the decoders are large.
  const { isTarArchive } = await import('../tar/compression.ts')
  if (!(await isTarArchive(contentOf(view, node), target.signal))) return false
  const { withArchiveName, readArchive } = await import('../tar/read-archive.ts')
  const { writer, directory, owner, signal, onSkipped, maxBytes = DEFAULT_LIMITS.unpack } = target
  try {
    await unpackArchive(readArchive(contentOf(view, node), { maxBytes, signal }), writer, {
      target: directory(),
      signal,
      ...(owner === undefined ? {} : { owner }),
      ...(onSkipped === undefined ? {} : { onSkipped }),
    })
  } catch (error) {
    throw withArchiveName(`/${shown(keyOf(node))}`, error)
  }
  return true
}

function contentOf(view: TreeView, node: TreeNode): AsyncIterable<Uint8Array> {
  return createReadStream('', { fd: view.open(node), autoClose: true, highWaterMark: 256 * 1024 })
}

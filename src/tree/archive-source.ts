import { createReadStream } from 'node:fs'
import { DEFAULT_LIMITS } from '../base/limits.ts'
import type { Key } from './path.ts'
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
  const { decompressAny, isTarArchive } = await import('../tar/compression.ts')
  if (!(await isTarArchive(contentOf(view, node), target.signal))) return false
  const { readTar } = await import('../tar/read.ts')
  const { writer, directory, owner, signal, onSkipped, maxBytes = DEFAULT_LIMITS.unpack } = target
  const limits = { maxBytes, ...(signal === undefined ? {} : { signal }) }
  await unpackArchive(readTar(decompressAny(contentOf(view, node), limits), { maxBytes, stopAtEnd: true }), writer, {
    target: directory(),
    signal,
    ...(owner === undefined ? {} : { owner }),
    ...(onSkipped === undefined ? {} : { onSkipped }),
  })
  return true
}

function contentOf(view: TreeView, node: TreeNode): AsyncIterable<Uint8Array> {
  return createReadStream('', { fd: view.open(node), autoClose: true, highWaterMark: 256 * 1024 })
}

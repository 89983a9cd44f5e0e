import { closeSync, readSync } from 'node:fs'
import type { TarItem } from '../tar/types.ts'
import type { LayerChange } from '../tree/diff.ts'

const CHUNK = 256 * 1024

/** The changes of a layer as members of its tar; a file is open only while its content is read. */
export async function* layerItems(changes: AsyncIterable<LayerChange>): AsyncGenerator<TarItem> {
  for await (const { entry, open } of changes) yield { entry, content: open === undefined ? nothing() : contentOf(open, entry.size) }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

async function* contentOf(open: () => number, size: number): AsyncGenerator<Uint8Array> {
  const fd = open()
  try {
    for (;;) {
      const chunk = Buffer.allocUnsafe(Math.min(size + 1, CHUNK))
      const length = readSync(fd, chunk)
      if (length === 0) return
      yield chunk.subarray(0, length)
    }
  } finally {
    closeSync(fd)
  }
}

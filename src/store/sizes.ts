import { lstatSync, opendirSync, type Stats } from 'node:fs'
import type { Store } from './store.ts'
import { ifPresent } from './store-error.ts'
import type { LayerId } from './types.ts'

/** What layers that are no directories take as blobs: with them it is the blobs that go. */
export function packedSizes({ layers, blobs }: Pick<Store, 'layers' | 'blobs'>): Map<LayerId, number> {
  const directories = new Set(layers.directories())
  const sizes = new Map<LayerId, number>()
  for (const id of layers.known()) {
    if (directories.has(id)) continue
    const { blobs: own = [], times } = layers.info(id) ?? {}
    const digests = [...own.map(({ digest }) => digest), ...(times === undefined ? [] : [times])]
    sizes.set(
      id,
      digests.reduce((sum, digest) => sum + (ifPresent(() => lstatSync(blobs.path(digest)))?.blocks ?? 0) * 512, 0),
    )
  }
  return sizes
}

/** Bytes that a tree takes on disk; hard links count once. What cannot be read counts as nothing. */
export function layerSize(path: string): number {
  const seen = new Set<string>()
  let bytes = 0
  const count = (stat: Stats) => {
    if (stat.nlink > 1 && !stat.isDirectory()) {
      const inode = `${stat.dev}:${stat.ino}`
      if (seen.has(inode)) return
      seen.add(inode)
    }
    bytes += stat.blocks * 512
  }
  const folders: Buffer[] = [Buffer.from(path)]
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    try {
      const entries = opendirSync(folder as unknown as string, { encoding: 'buffer' as BufferEncoding, bufferSize: 256 })
      try {
        for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
          const child = Buffer.concat([folder, Buffer.from('/'), entry.name as unknown as Buffer])
          const stat = lstatSync(child)
          count(stat)
          if (stat.isDirectory()) folders.push(child)
        }
      } finally {
        entries.closeSync()
      }
    } catch {
      // A directory without permissions, or too deep a path: du is an estimate.
    }
  }
  return bytes
}

import { lstatSync, opendirSync, type Stats } from 'node:fs'

/** Bytes that a tree takes on disk; hard links count once. What cannot be read counts as nothing. */
export function layerSize(path: string): number {
  const seen = new Set<string>()
  let bytes = 0
  const count = (stat: Stats) => {
    const inode = `${stat.dev}:${stat.ino}`
    if (stat.nlink > 1 && !stat.isDirectory() && seen.has(inode)) return
    seen.add(inode)
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

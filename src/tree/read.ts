import { readSync } from 'node:fs'
import { TbuildError } from '../base/errors.ts'
import { sys } from '../base/sys.ts'
import type { TreeView } from './types.ts'

/** W18 and CVE-2026-47262. */
const FILE_LIMIT = 10 * 1024 * 1024

/** A regular file's content, symlinks followed inside the root; undefined when there is none. An error when it is something else or larger than `limit` bytes. */
export function readFileInRoot(view: TreeView, path: Uint8Array | string, limit: number = FILE_LIMIT): Buffer | undefined {
  const node = view.resolve(path, { follow: true })
  if (node === undefined) return undefined
  const name = `/${node.path}`
  if (node.type !== 'file') throw new TbuildError('NOT_A_FILE', `not a regular file: ${name}`)
  if (node.stat.size > limit) throw new TbuildError('FILE_TOO_LARGE', `${name} has ${node.stat.size} bytes, more than ${limit}`)
  const fd = view.open(node)
  try {
    const content = Buffer.alloc(Math.min(node.stat.size, limit))
    let length = 0
    while (length < content.length) {
      const count = readSync(fd, content, length, content.length - length, length)
      if (count === 0) break
      length += count
    }
    return content.subarray(0, length)
  } finally {
    sys().close(fd)
  }
}

import { errorCode } from '../../base/errors.ts'
import { sys } from '../../base/sys.ts'
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFDIR, S_IFMT, S_IFREG } from '../../base/sys-constants.ts'
import type { SysStat } from '../../base/sys-values.ts'
import { TimeSlice } from '../../base/time-slice.ts'

/** A file or directory of the caller's file system; symlinks are not followed. */
export interface FolderEntry {
  /** Bytes. */
  readonly path: Buffer
  readonly type: 'file' | 'directory' | 'other'
  readonly stat: SysStat
}

/** Files of a directory that are looked at by one call: a call for each takes most of the time, and one for all of them much memory. */
const SLICE = 1000

/**
 * All that is in `folder`, and itself: what a directory holds comes before it, so that its times may be set. What vanishes meanwhile is left out, and a
 * directory that does is empty.
 */
export async function* walkFolder(folder: string | Buffer): AsyncGenerator<FolderEntry> {
  const slice = new TimeSlice()
  const top = walked(Buffer.from(folder), sys().lookupat(AT_FDCWD, folder))
  const open = top === undefined ? [] : [{ found: top, listed: top.type !== 'directory' }]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { found, listed } = next
    if (listed) {
      yield found
      continue
    }
    open.push({ found, listed: true })
    for (const entry of list(found.path)) {
      if (slice.isOver()) await slice.yield()
      if (entry.type === 'directory') open.push({ found: entry, listed: false })
      else yield entry
    }
  }
}

function* list(folder: Buffer): Generator<FolderEntry> {
  const fd = opened(folder)
  if (fd === undefined) return
  try {
    const entries = unlessGone(() => sys().readdir(fd)) ?? []
    for (let at = 0; at < entries.length; at += SLICE) {
      const slice = entries.slice(at, at + SLICE)
      const stats = sys().statEach(fd, slice)
      for (const [index, { name }] of slice.entries()) {
        const entry = walked(Buffer.concat([folder, Buffer.from('/'), name]), stats[index])
        if (entry !== undefined) yield entry
      }
    }
  } finally {
    sys().close(fd)
  }
}

function opened(folder: Buffer): number | undefined {
  return unlessGone(() => sys().openat(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0))
}

/** A directory can go before it is opened, and before it is listed: getdents64 of one that was removed is ENOENT. */
function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
    throw error
  }
}

function walked(path: Buffer, stat: SysStat | undefined): FolderEntry | undefined {
  if (stat === undefined) return undefined
  const kind = stat.mode & S_IFMT
  return { path, type: kind === S_IFDIR ? 'directory' : kind === S_IFREG ? 'file' : 'other', stat }
}

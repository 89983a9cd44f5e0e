import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isTbuildError } from '../base/errors.ts'
import { splitLogin } from '../base/mask-url.ts'
import type { HttpOp } from '../graph/op.ts'
import { gitOp } from '../graph/remote.ts'
import { isTarArchive } from '../tar/compression.ts'
import { readArchive } from '../tar/read-archive.ts'
import type { GitReference } from '../values/git-reference.ts'
import { HEAD, only } from './archive.ts'
import type { ContextSources } from './sources.ts'

/** Files of another machine in a directory of the store. */
interface RemoteDirectory {
  readonly directory: string
  /** False: it holds the file of a URL that is no archive, under the name `context`. */
  readonly unpacked: boolean
}

/** BuildKit's name for the file of a URL that is a context. */
export const CONTEXT_FILE = 'context'

/** `time`: the commit's, seconds. */
export async function openGit(
  git: GitReference,
  keepGitDir: boolean,
  name: string,
  sources: ContextSources,
): Promise<RemoteDirectory & { readonly time: number | undefined }> {
  const directory = await sources.checkout(gitOp(git, git.keepGitDir === undefined && keepGitDir ? { keepGitDir } : {}), name)
  return { directory, unpacked: true, time: await timeOf(directory) }
}

/** The file of a URL that is a context. */
export function contextOp(url: string): HttpOp {
  return { kind: 'http', ...splitLogin(url), filename: CONTEXT_FILE }
}

/** An archive of any compression is unpacked (D8); owners are the archive's. */
export async function openUrl(url: string, name: string, sources: ContextSources): Promise<RemoteDirectory> {
  const op = contextOp(url)
  const folder = await sources.fetch(op, name)
  const isArchive = await isTarArchive(only(await headOf(join(folder, CONTEXT_FILE))))
  return isArchive ? { directory: await sources.unpack(op, name), unpacked: true } : { directory: folder, unpacked: false }
}

/** Seconds, for SOURCE_DATE_EPOCH: Last-Modified, or where the server says none the time of an archive's newest file. */
export async function urlTime(op: HttpOp, name: string, sources: ContextSources): Promise<number | undefined> {
  const file = join(await sources.fetch(op, name), op.filename)
  return (await timeOf(file)) ?? newestMember(file, sources)
}

/**
 * As BuildKit has it (d2l/epoch.go, archiveMaxTimeFromRef): of members that are files, hard links with them, as their headers say it. What is no archive, or
 * ends too soon, has none; whether it can be unpacked is another matter.
 */
async function newestMember(file: string, { unpackLimit, signal }: ContextSources): Promise<number | undefined> {
  let newest: number | undefined
  try {
    const bytes = createReadStream(file, { highWaterMark: 256 * 1024 })
    for await (const { entry } of readArchive(bytes, { maxBytes: unpackLimit, signal })) {
      signal.throwIfAborted()
      if (entry.type === 'file' || entry.type === 'link') newest = Math.max(newest ?? entry.mtime, entry.mtime)
    }
    return newest
  } catch (error) {
    if (!signal.aborted && isTbuildError(error) && NO_ARCHIVE.includes(error.code)) return undefined
    throw error
  }
}

const NO_ARCHIVE: readonly string[] = ['TAR_CORRUPT', 'TAR_UNSUPPORTED', 'DECOMPRESS_FAILED']

async function headOf(path: string): Promise<Buffer> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD), 0, HEAD, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

async function timeOf(path: string): Promise<number | undefined> {
  const seconds = Math.floor((await stat(path)).mtimeMs / 1000)
  return seconds > 0 ? seconds : undefined
}

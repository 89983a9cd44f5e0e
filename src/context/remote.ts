import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { GitReference } from '../base/git-reference.ts'
import { gitOp } from '../graph/remote.ts'
import { walk } from '../registry/walk.ts'
import { isTarArchive } from '../tar/compression.ts'
import { HEAD, only } from './archive.ts'
import type { ContextSources } from './sources.ts'

/** Files of another machine in a directory of the store. */
interface RemoteDirectory {
  readonly directory: string
  /** False: it holds the file of a URL that is no archive, under the name `context`. */
  readonly unpacked: boolean
  /** Seconds: the commit's, or Last-Modified, or that of the newest file of the archive. */
  readonly time?: number
}

/** BuildKit's name for the file of a URL that is a context. */
export const CONTEXT_FILE = 'context'

export async function openGit(git: GitReference, keepGitDir: boolean, name: string, sources: ContextSources): Promise<RemoteDirectory> {
  const directory = await sources.checkout(gitOp(git, git.keepGitDir === undefined && keepGitDir ? { keepGitDir } : {}), name)
  return { directory, unpacked: true, ...(await timeOf(directory)) }
}

/** An archive of any compression is unpacked (D8); owners are the archive's. `wantsTime`: look for one where the server says none. */
export async function openUrl(url: string, name: string, sources: ContextSources, wantsTime = false): Promise<RemoteDirectory> {
  const op = { kind: 'http', url, filename: CONTEXT_FILE } as const
  const folder = await sources.fetch(op, name)
  const file = join(folder, CONTEXT_FILE)
  const time = await timeOf(file)
  if (!(await isTarArchive(only(await headOf(file))))) return { directory: folder, unpacked: false, ...time }
  const directory = await sources.unpack(op, name)
  return { directory, unpacked: true, ...(wantsTime && time.time === undefined ? await newestFile(directory) : time) }
}

/** As BuildKit has it (d2l/epoch.go): of regular files only. */
async function newestFile(directory: string): Promise<{ time?: number }> {
  let newest = 0
  for await (const { type, stat } of walk(directory)) if (type === 'file') newest = Math.max(newest, stat.mtimeSeconds)
  return newest > 0 ? { time: newest } : {}
}

async function headOf(path: string): Promise<Buffer> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD), 0, HEAD, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

async function timeOf(path: string): Promise<{ time?: number }> {
  const seconds = Math.floor((await stat(path)).mtimeMs / 1000)
  return seconds > 0 ? { time: seconds } : {}
}

import { lstatSync, realpathSync } from 'node:fs'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { errorCode, TbuildError } from '../base/errors.ts'
import { readCapped } from '../base/read-capped.ts'
import { type SourceFile, sourceFile } from '../base/span.ts'
import type { BuildOptions } from '../build-options.ts'
import type { Caller, CallerDirectory, Wanted } from '../caller/caller.ts'
import { readFileInRoot } from '../tree/read.ts'
import type { TreeView } from '../tree/types.ts'
import { directoryView } from '../tree/view.ts'
import { isHttpUrl } from './parse-context.ts'
import type { ContextSources } from './sources.ts'

/** What a Dockerfile is called that nobody names (D10). */
export const DOCKERFILES = ['Dockerfile', 'dockerfile'] as const

/** More than any Dockerfile or ignore file needs. */
const LIMIT = 16 * 1024 * 1024

/** A Dockerfile, and the ignore file that stands next to it, if one does (D1). */
interface DockerfileText {
  readonly file: SourceFile
  readonly ownIgnore: SourceFile | undefined
}

/** Where a build's files are, before its Dockerfile is known. */
export type ContextPlace = {
  /** Undefined: there are none. */
  readonly directory: string | undefined
  readonly identity: string
  /**
   * Whether ignore files count. BuildKit reads them in local contexts only (D5); here repositories have theirs too, and archives do not: they hold what
   * their maker put into them.
   */
  readonly ignores: boolean
  /** Seconds, of a remote context. */
  readonly time?: () => Promise<number | undefined>
} /** A directory of the caller's, and how to have what is wanted of it. */ & (
  | { readonly kind: 'local'; readonly directory: string; readonly open: (wanted: Wanted) => Promise<CallerDirectory> }
  /** Files of others: a Dockerfile is looked for inside, and never outside of, the directory. */
  | { readonly kind: 'inside'; readonly directory: string }
  /** The context argument was the Dockerfile itself. */
  | { readonly kind: 'dockerfile'; readonly dockerfile: SourceFile }
)

/** As buildx: `-f -` and `-f URL` with any context; an absolute path is the caller's, but for an archive on standard input; else it lies in the context. */
export async function findDockerfile(
  place: ContextPlace,
  { context, file }: Pick<BuildOptions, 'context' | 'file'>,
  caller: Caller,
  sources: ContextSources,
): Promise<DockerfileText> {
  if (file === '-') return { file: sourceFile('Dockerfile', await readAll(stdinOf(caller))), ownIgnore: undefined }
  if (file !== undefined && isHttpUrl(file)) return fetchDockerfile(file, sources)
  if (place.kind === 'local') return readDockerfile(place.directory, file, caller)
  if (file?.startsWith('/') && context !== '-') return readDockerfile(undefined, file, caller)
  return place.kind === 'dockerfile' ? { file: place.dockerfile, ownIgnore: undefined } : readDockerfileInside(place.directory, file)
}

async function fetchDockerfile(url: string, sources: ContextSources): Promise<DockerfileText> {
  const folder = await sources.fetch({ kind: 'http', url, filename: 'Dockerfile' }, `[internal] load build definition from ${url}`)
  const file = readInContext(directoryView(folder), 'Dockerfile')
  return { file: { text: '', ...file, name: url }, ownIgnore: undefined }
}

function readDockerfileInside(directory: string, path: string | undefined): DockerfileText {
  const view = directoryView(directory)
  for (const name of path === undefined ? DOCKERFILES : [path]) {
    const file = readInContext(view, name)
    if (file !== undefined) return { file, ownIgnore: readInContext(view, `${name}.dockerignore`) }
  }
  throw notFound(path, path === undefined ? UNNAMED : 'the path of -f is relative to the context')
}

export function stdinOf({ stdin }: Pick<Caller, 'stdin'>): AsyncIterable<Uint8Array> {
  if (stdin !== undefined) return stdin
  throw new TbuildError('STDIN_MISSING', 'the build reads standard input, but none was given')
}

/** `-f PATH`, else Dockerfile in the context; where that name is asked for, whichever way, dockerfile will do (D10). */
async function readDockerfile(context: string | undefined, path = '', caller: Caller): Promise<DockerfileText> {
  const wanted = path === '' ? join(context ?? '', 'Dockerfile') : isAbsolute(path) ? resolve(path) : resolve(caller.workingDirectory, path)
  const folder = dirname(wanted)
  const read = context !== undefined && isInside(context, folder) ? readerIn(folder) : readerOf(caller)
  for (const candidate of basename(wanted) === 'Dockerfile' ? [wanted, join(folder, 'dockerfile')] : [wanted]) {
    const found = await read(candidate)
    if (found === undefined) continue
    const ignore = `${candidate}.dockerignore`
    const own = await read(ignore)
    return {
      file: { ...found, name: path || basename(candidate) },
      ownIgnore: own === undefined ? undefined : { ...own, name: basename(ignore) },
    }
  }
  if (isSymlink(wanted)) throw notFound(path || undefined, `${wanted} is a symlink to no file of its folder, and no other is read for it`)
  throw notFound(path || undefined, path === '' ? UNNAMED : 'the path of -f is relative to the working directory')
}

/** A file of the context is read as BuildKit reads it: its folder is the root of all symlinks. What lies outside was named by the caller, links with it. */
function readerIn(folder: string): (path: string) => Promise<SourceFile | undefined> {
  return async (path) => readInContext(directoryView(folder), basename(path))
}

function isInside(context: string, folder: string): boolean {
  try {
    const root = realpathSync(context)
    const real = realpathSync(folder)
    return root === '/' || real === root || real.startsWith(`${root}/`)
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return false
    throw error
  }
}

function isSymlink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true
}

function notFound(path: string | undefined, hint: string): TbuildError {
  return new TbuildError('DOCKERFILE_NOT_FOUND', `failed to read dockerfile: open ${path ?? 'Dockerfile'}: no such file or directory`, {
    hint,
  })
}

const UNNAMED = 'name it with -f, or make a Dockerfile in the context'

/** What has no end is not read to its end. */
function readerOf(caller: Caller): (path: string) => Promise<SourceFile | undefined> {
  return async (path) => {
    const bytes = await caller.file(path)
    return bytes && sourceFile(path, await readAll(bytes, path))
  }
}

/** A file of a context, resolved inside it: a symlink never leads out (CVE-2022-4122). */
export function readInContext(view: TreeView, name: string): SourceFile | undefined {
  const data = readFileInRoot(view, name, LIMIT)
  return data === undefined ? undefined : sourceFile(name, data)
}

/** All of a stream; FILE_TOO_LARGE names `what` when it is more than a Dockerfile can be. */
export async function readAll(bytes: AsyncIterable<Uint8Array>, what = 'the Dockerfile on standard input'): Promise<Buffer> {
  const data = await readCapped(bytes, LIMIT)
  if (data === undefined) throw new TbuildError('FILE_TOO_LARGE', `${what} is larger than ${LIMIT} bytes`)
  return data
}

import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { errorCode, TbuildError } from '../base/errors.ts'
import type { SourceFile } from '../base/span.ts'
import type { BuildOptions } from '../build-options.ts'
import { IgnoreMatcher } from '../dockerfile/dockerignore.ts'
import type { TreeView } from '../tree/types.ts'
import { directoryView, layeredView } from '../tree/view.ts'
import { readAll, readDockerfile, readInContext } from './dockerfile.ts'
import { type ContextName, parseContextName } from './parse-context.ts'

/** Files of the caller, as COPY, ADD and bind mounts see them: without what the ignore file hides. */
export interface ContextFiles {
  readonly kind: 'files'
  /** For hash caches: the directory. */
  readonly identity: string
  readonly view: TreeView
  /** Owners of the caller's files mean nothing in an image (F14). */
  readonly resetOwner: boolean
  /** Why a path is not there although the directory has it. */
  readonly hiddenBy: (path: string) => string | undefined
}

/** What a build reads from its caller. */
export interface BuildInputs {
  readonly dockerfile: SourceFile
  /** The ignore file in force, for checks. */
  readonly ignore: IgnoreMatcher | undefined
  /** Tells this Dockerfile from others when earlier records are compared. */
  readonly identity: string
  readonly context: ContextFiles
}

/** Reads the Dockerfile and opens the build context. `makeFolder` gives a place for a context that arrives as an archive. */
export async function loadInputs(options: BuildOptions, makeFolder: () => string): Promise<BuildInputs> {
  const name = parseContextName(options.context)
  if (name.kind === 'directory') return fromDirectory(resolve(name.path), options)
  if (name.kind === 'stdin') return fromStdin(options, makeFolder)
  throw unsupportedContext(name, options.context)
}

async function fromDirectory(directory: string, options: BuildOptions): Promise<BuildInputs> {
  await requireDirectory(directory, options.context)
  if (options.file === '-') {
    const dockerfile = { name: 'Dockerfile', text: (await readAll(stdinOf(options))).toString('utf8') }
    return { dockerfile, identity: `${directory}|-`, ...openContext(directory, undefined) }
  }
  const { file, ownIgnore } = await readDockerfile(directory, options.file)
  return { dockerfile: file, identity: `${directory}|${file.name}`, ...openContext(directory, ownIgnore) }
}

/** D8: an archive is the context, anything else the Dockerfile of a build without one. */
async function fromStdin(options: BuildOptions, makeFolder: () => string): Promise<BuildInputs> {
  const { unpackIfArchive } = await import('./archive.ts')
  const folder = makeFolder()
  const rest = await unpackIfArchive(stdinOf(options), folder)
  if (rest === undefined) {
    const { file, ownIgnore } = await readDockerfile(folder, options.file === undefined ? undefined : resolve(folder, options.file))
    return { dockerfile: file, identity: `-|${file.name}`, ...openContext(folder, ownIgnore) }
  }
  if (options.file !== undefined) {
    throw new TbuildError('CONTEXT_NOT_ARCHIVE', 'standard input is not an archive, so it cannot be a context for -f', {
      hint: 'pipe a tar archive, or leave out -f to build the Dockerfile on standard input',
    })
  }
  const view = layeredView([])
  const context: ContextFiles = { kind: 'files', identity: '-', view, resetOwner: true, hiddenBy: () => undefined }
  return { dockerfile: { name: 'Dockerfile', text: rest.toString('utf8') }, ignore: undefined, identity: '-|Dockerfile', context }
}

function stdinOf(options: BuildOptions): AsyncIterable<Uint8Array> {
  if (options.stdin !== undefined) return options.stdin
  throw new TbuildError('STDIN_MISSING', 'the build reads standard input, but none was given')
}

/** A named context of files, with its own root ignore file (D7). */
export async function openNamedContext(name: string, value: string): Promise<ContextFiles> {
  const directory = resolve(value)
  await requireDirectory(directory, `${name}=${value}`)
  return openContext(directory, undefined).context
}

function openContext(directory: string, ownIgnore: SourceFile | undefined): { context: ContextFiles; ignore: IgnoreMatcher | undefined } {
  const file = ownIgnore ?? readInContext(directoryView(directory), '.dockerignore')
  const ignore = file === undefined ? undefined : IgnoreMatcher.parse(file.name, file.text)
  const view = directoryView(directory, ignore === undefined ? {} : { ignore })
  const hiddenBy = (path: string) => {
    const relative = path.replace(/^\/+/, '')
    const rule = ignore?.matches(relative) ? ignore.explain(relative) : undefined
    return rule && `${file?.name}:${rule.line}: ${rule.text}`
  }
  return { context: { kind: 'files', identity: directory, view, resetOwner: true, hiddenBy }, ignore }
}

async function requireDirectory(path: string, shown: string): Promise<void> {
  try {
    if ((await stat(path)).isDirectory()) return
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTDIR') throw error
    throw new TbuildError('CONTEXT_NOT_FOUND', `unable to prepare context: path "${shown}" not found`)
  }
  throw new TbuildError('CONTEXT_NOT_DIRECTORY', `unable to prepare context: "${shown}" is not a directory`)
}

function unsupportedContext(name: ContextName, text: string): TbuildError {
  const what = { git: 'a git repository', http: 'a URL', image: 'an image', stdin: '', directory: '' }[name.kind]
  return new TbuildError('CONTEXT_UNSUPPORTED', `${what} as the build context is not supported yet: ${text}`, {
    hint: 'fetch it first and name the directory',
  })
}

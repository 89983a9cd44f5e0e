import { statSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { errorCode, isTbuildError, TbuildError } from '../base/errors.ts'
import { maskUrls } from '../base/mask-url.ts'
import { type SourceFile, sourceFile } from '../base/span.ts'
import type { BuildOptions, ResolvedOptions } from '../build-options.ts'
import type { Caller } from '../caller/caller.ts'
import { IgnoreMatcher } from '../dockerfile/dockerignore.ts'
import { requireOwnFrontend } from '../dockerfile/frontend.ts'
import { parseGoBool } from '../go/bool.ts'
import { absolutePath } from '../this-machine/working-directory.ts'
import type { TreeView } from '../tree/types.ts'
import { directoryView, layeredView, type ShownMode } from '../tree/view.ts'
import type { GitReference } from '../values/git-reference.ts'
import { type ContextPlace, findDockerfile, readInContext, stdinOf } from './dockerfile.ts'
import { gitMode } from './git-mode.ts'
import { parseContextName, parseNamedContext } from './parse-context.ts'
import { readProjectConfig } from './project-config.ts'
import type { ContextSources } from './sources.ts'

/** Files of the caller, as COPY, ADD and bind mounts see them: without what the ignore file hides. */
export interface ContextFiles {
  readonly kind: 'files'
  /** For hash caches: the directory. */
  readonly identity: string
  readonly view: TreeView
  /** Owners of the caller's files mean nothing in an image (F14); those of an archive do. */
  readonly resetOwner: boolean
  /** What its files' modes are shown as; absent when they are shown as they are. */
  readonly mode?: ShownMode | undefined
  /** Why a path is not there although the directory has it. */
  readonly hiddenBy: (path: string) => string | undefined
}

/** What a build reads from its caller. */
export interface BuildInputs {
  readonly dockerfile: SourceFile
  /** The ignore file in force, for checks. */
  readonly ignore: IgnoreMatcher | undefined
  /** What is wrong with that file, to be told when the context is about to be used: as BuildKit, after what is wrong with the Dockerfile. */
  readonly ignoreProblem?: TbuildError | undefined
  /** Tells this Dockerfile from others when earlier records are compared. */
  readonly identity: string
  readonly context: ContextFiles
  /** Of a remote context, seconds: its commit's, or Last-Modified, or that of an archive's newest file. For `SOURCE_DATE_EPOCH=context`. */
  readonly time?: () => Promise<number | undefined>
}

type InputOptions = Pick<ResolvedOptions, 'context' | 'file' | 'buildArgs' | 'normalizeModes'>

/** Reads the Dockerfile and opens the build context. */
export async function loadInputs(options: InputOptions, caller: Caller, sources: ContextSources): Promise<BuildInputs> {
  const place = await openPlace(options, caller, sources)
  const { file, ownIgnore } = await findDockerfile(place, options, caller, sources)
  requireOwnFrontend(file, options.buildArgs.BUILDKIT_SYNTAX)
  const { context, ignore, problem } = openContext(place, ownIgnore, projectMode(place, options))
  const identity = `${place.identity}|${options.file === '-' ? '-' : file.name}`
  return { dockerfile: file, ignore, ignoreProblem: problem, identity, context, ...(place.time === undefined ? {} : { time: place.time }) }
}

async function openPlace(options: InputOptions, caller: Caller, sources: ContextSources): Promise<ContextPlace> {
  const name = parseContextName(options.context, isDirectory)
  switch (name.kind) {
    case 'stdin':
      return openStdin(options, caller, sources)
    case 'git':
      return openRepository(name.git, options, sources)
    case 'http':
      return openHttp(name.url, sources)
    default:
      return localPlace(options.context, options.context)
  }
}

export function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

async function openRepository(git: GitReference, options: InputOptions, sources: ContextSources): Promise<ContextPlace> {
  const { openGit } = await import('./remote.ts')
  const keepGitDir = parseGoBool(options.buildArgs.BUILDKIT_CONTEXT_KEEP_GIT_DIR ?? '') === true
  // A build with an epoch is to be the same again: unless the URL says otherwise, files have the commit's time and not that of their checkout.
  const timed = git.mtime === undefined && hasEpoch(options) ? ({ ...git, mtime: 'commit' } as const) : git
  const { directory, time } = await openGit(timed, keepGitDir, `[internal] load git source ${options.context}`, sources)
  return { kind: 'inside', directory, identity: `${git.remote}:${git.subdir ?? ''}`, ignores: true, time: async () => time }
}

function hasEpoch({ buildArgs }: InputOptions): boolean {
  return Boolean(buildArgs.SOURCE_DATE_EPOCH)
}

/** D8: an archive is the context, anything else the Dockerfile. */
async function openHttp(url: string, sources: ContextSources): Promise<ContextPlace> {
  const { openUrl, urlTime, contextOp, CONTEXT_FILE } = await import('./remote.ts')
  const shown = '[internal] load remote build context'
  const { directory, unpacked } = await openUrl(url, shown, sources)
  const shownUrl = maskUrls(url)
  const place = { directory, identity: shownUrl, ignores: false, time: () => urlTime(contextOp(url), shown, sources) }
  if (unpacked) return { kind: 'inside', ...place }
  const dockerfile = readInContext(directoryView(directory), CONTEXT_FILE)
  return { kind: 'dockerfile', dockerfile: { name: shownUrl, text: dockerfile?.text ?? '' }, ...place }
}

/** D8: an archive is the context, anything else the Dockerfile of a build without one. */
async function openStdin({ file }: Pick<BuildOptions, 'file'>, caller: Caller, sources: ContextSources): Promise<ContextPlace> {
  const { unpackIfArchive } = await import('./archive.ts')
  const folder = sources.temporary()
  const rest = await unpackIfArchive(stdinOf(caller), folder, { maxBytes: sources.unpackLimit, signal: sources.signal })
  if (rest === undefined) return { kind: 'inside', directory: folder, identity: '-', ignores: false }
  if (file !== undefined) {
    throw new TbuildError('CONTEXT_NOT_ARCHIVE', 'ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles', {
      hint: 'pipe a tar archive, or leave out -f to build the Dockerfile on standard input',
    })
  }
  const dockerfile = sourceFile('Dockerfile', rest)
  return { kind: 'dockerfile', directory: undefined, identity: '-', ignores: false, dockerfile }
}

/** The files of `--build-context name=value`, with their own root ignore file (D7). BuildKit reads none in a repository. */
export async function openNamedContext(name: string, value: string, sources: ContextSources, mode?: ShownMode): Promise<ContextFiles> {
  const parsed = parseNamedContext(value)
  const shown = `[context ${name}] ${value}`
  if (parsed.kind === 'git') {
    const { openGit } = await import('./remote.ts')
    const { directory } = await openGit(parsed.git, false, shown, sources)
    return filesOf(openContext({ kind: 'inside', directory, identity: value, ignores: true }, undefined, mode))
  }
  if (parsed.kind === 'http') {
    const { openUrl } = await import('./remote.ts')
    const place = await openUrl(value, shown, sources)
    return filesOf(openContext({ kind: 'inside', identity: value, ignores: place.unpacked, ...place }, undefined, mode))
  }
  return filesOf(openContext(await localPlace(value, `${name}=${value}`), undefined, mode))
}

function filesOf({ context, problem }: OpenContext): ContextFiles {
  if (problem !== undefined) throw problem
  return context
}

/** K12, or `--normalize-modes` and its setting. */
function projectMode({ directory }: ContextPlace, { normalizeModes }: Pick<BuildOptions, 'normalizeModes'>): ShownMode | undefined {
  if (directory === undefined) return undefined
  return (normalizeModes ?? readProjectConfig(directoryView(directory)).normalizeModes) ? gitMode : undefined
}

/** With a `problem` no file may be read: which are ignored is not known. */
interface OpenContext {
  readonly context: ContextFiles
  readonly ignore: IgnoreMatcher | undefined
  readonly problem?: TbuildError
}

function openContext(place: ContextPlace, ownIgnore: SourceFile | undefined, mode: ShownMode | undefined): OpenContext {
  const { directory } = place
  if (directory === undefined) return { context: NO_FILES, ignore: undefined }
  const file = place.ignores ? (ownIgnore ?? readInContext(directoryView(directory), '.dockerignore')) : undefined
  let ignore: IgnoreMatcher | undefined
  try {
    ignore = file === undefined ? undefined : IgnoreMatcher.parse(file.name, file.text)
  } catch (error) {
    if (!isTbuildError(error)) throw error
    return { context: NO_FILES, ignore: undefined, problem: error }
  }
  const view = directoryView(directory, { ...(ignore && { ignore }), ...(mode && { mode }), dropsCapabilities: place.kind === 'local' })
  const hiddenBy = (path: string) => {
    const relative = path.replace(/^\/+/, '')
    const rule = ignore?.matches(relative) ? ignore.explain(relative) : undefined
    return rule && `${file?.name}:${rule.line}: ${rule.text}`
  }
  return { context: { kind: 'files', identity: directory, view, resetOwner: place.kind === 'local', mode, hiddenBy }, ignore }
}

const NO_FILES: ContextFiles = { kind: 'files', identity: '-', view: layeredView([]), resetOwner: true, hiddenBy: () => undefined }

async function localPlace(path: string, shown: string): Promise<ContextPlace> {
  const directory = absolutePath(path)
  await requireDirectory(directory, shown)
  return { kind: 'local', directory, identity: directory, ignores: true }
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

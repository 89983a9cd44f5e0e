import { isTbuildError, TbuildError } from '../base/errors.ts'
import { maskUrls } from '../base/mask-url.ts'
import { type SourceFile, sourceFile } from '../base/span.ts'
import type { BuildOptions, ResolvedOptions } from '../build-options.ts'
import type { Caller, CallerDirectory, NoDirectory, Wanted } from '../caller/caller.ts'
import { IgnoreMatcher } from '../dockerfile/dockerignore.ts'
import { requireOwnFrontend } from '../dockerfile/frontend.ts'
import { parseGoBool } from '../go/bool.ts'
import type { TreeView } from '../tree/types.ts'
import { directoryView, layeredView, type ShownMode } from '../tree/view.ts'
import type { GitReference } from '../values/git-reference.ts'
import { type ContextPlace, DOCKERFILES, findDockerfile, readInContext, stdinOf } from './dockerfile.ts'
import { gitMode } from './git-mode.ts'
import { parseContextName, parseNamedContext } from './parse-context.ts'
import { CONFIG_NAME, readProjectConfig } from './project-config.ts'
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

/** Opens files of which these paths are read; undefined is all. */
export type OpenFiles = (paths: readonly string[] | undefined) => Promise<ContextFiles>

/** What a build reads from its caller. */
export interface BuildInputs {
  readonly dockerfile: SourceFile
  /** The ignore file in force, for checks. */
  readonly ignore: IgnoreMatcher | undefined
  /** What is wrong with that file, to be told when the context is about to be used: as BuildKit, after what is wrong with the Dockerfile. */
  readonly ignoreProblem?: TbuildError | undefined
  /** Tells this Dockerfile from others when earlier records are compared. */
  readonly identity: string
  /** The build context, of which these paths are read. */
  readonly context: OpenFiles
  /** What the modes of its files, and of named contexts, are shown as; undefined as they are. */
  readonly mode: ShownMode | undefined
  /** Of a remote context, seconds: its commit's, or Last-Modified, or that of an archive's newest file. For `SOURCE_DATE_EPOCH=context`. */
  readonly time?: () => Promise<number | undefined>
}

type InputOptions = Pick<ResolvedOptions, 'context' | 'file' | 'buildArgs' | 'normalizeModes'>

/** Reads the Dockerfile and opens the build context. */
export async function loadInputs(options: InputOptions, caller: Caller, sources: ContextSources): Promise<BuildInputs> {
  const place = await openPlace(options, caller, sources)
  const { file, ownIgnore } = await findDockerfile(place, options, caller, sources)
  requireOwnFrontend(file, options.buildArgs.BUILDKIT_SYNTAX)
  const mode = projectMode(place, options)
  const { open, ignore, problem } = openContext(place, ownIgnore, mode)
  const identity = `${place.identity}|${options.file === '-' ? '-' : file.name}`
  return { dockerfile: file, ignore, ignoreProblem: problem, identity, context: open, mode, ...(place.time && { time: place.time }) }
}

/** What of a directory is read before the Dockerfile is known. */
const FIRST = [...DOCKERFILES, ...DOCKERFILES.map((name) => `${name}.dockerignore`), '.dockerignore', CONFIG_NAME]

async function openPlace(options: InputOptions, caller: Caller, sources: ContextSources): Promise<ContextPlace> {
  const { context, file } = options
  if (context === '-') return openStdin(options, caller, sources)
  const paths = file === undefined ? FIRST : [...FIRST, file, `${file}.dockerignore`]
  const directory = await caller.directory(context, { paths, ignored: [] }, sources.signal)
  if (typeof directory !== 'string') return localPlace(context, directory, caller, sources)
  const name = parseContextName(context)
  switch (name.kind) {
    case 'git':
      return openRepository(name.git, options, sources)
    case 'http':
      return openHttp(name.url, sources)
    default:
      throw notUsable(directory, context)
  }
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
export async function openNamedContext(
  name: string,
  value: string,
  { caller, sources }: { readonly caller: Caller; readonly sources: ContextSources },
  mode?: ShownMode,
): Promise<OpenFiles> {
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
  const directory = await caller.directory(value, { paths: ['.dockerignore'], ignored: [] }, sources.signal)
  if (typeof directory === 'string') throw notUsable(directory, `${name}=${value}`)
  return filesOf(openContext(localPlace(value, directory, caller, sources), undefined, mode))
}

function filesOf({ open, problem }: OpenContext): OpenFiles {
  if (problem !== undefined) throw problem
  return open
}

/** K12, or `--normalize-modes` and its setting. */
function projectMode({ directory }: ContextPlace, { normalizeModes }: Pick<BuildOptions, 'normalizeModes'>): ShownMode | undefined {
  if (directory === undefined) return undefined
  return (normalizeModes ?? readProjectConfig(directoryView(directory)).normalizeModes) ? gitMode : undefined
}

/** With a `problem` no file may be read: which are ignored is not known. */
interface OpenContext {
  readonly open: OpenFiles
  readonly ignore: IgnoreMatcher | undefined
  readonly problem?: TbuildError
}

function openContext(place: ContextPlace, ownIgnore: SourceFile | undefined, mode: ShownMode | undefined): OpenContext {
  const { directory } = place
  if (directory === undefined) return { open: async () => NONE, ignore: undefined }
  const file = place.ignores ? (ownIgnore ?? readInContext(directoryView(directory), '.dockerignore')) : undefined
  let ignore: IgnoreMatcher | undefined
  try {
    ignore = file === undefined ? undefined : IgnoreMatcher.parse(file.name, file.text)
  } catch (error) {
    if (!isTbuildError(error)) throw error
    return { open: async () => NONE, ignore: undefined, problem: error }
  }
  const hiddenBy = (path: string) => {
    const relative = path.replace(/^\/+/, '')
    const rule = ignore?.matches(relative) ? ignore.explain(relative) : undefined
    return rule && `${file?.name}:${rule.line}: ${rule.text}`
  }
  const open: OpenFiles = async (paths) => {
    const isLocal = place.kind === 'local'
    const { path, identity } = isLocal
      ? await place.open({ paths, ignored: ignore?.rules.map(({ text }) => text) ?? [] })
      : { path: directory, identity: directory }
    const view = directoryView(path, { ...(ignore && { ignore }), ...(mode && { mode }), dropsCapabilities: isLocal })
    return { kind: 'files', identity, view, resetOwner: isLocal, mode, hiddenBy }
  }
  return { open, ignore }
}

const NONE: ContextFiles = { kind: 'files', identity: '-', view: layeredView([]), resetOwner: true, hiddenBy: () => undefined }

function localPlace(name: string, { path, identity }: CallerDirectory, caller: Caller, { signal }: ContextSources): ContextPlace {
  const open = async (wanted: Wanted) => {
    const directory = await caller.directory(name, wanted, signal)
    if (typeof directory === 'string') throw notUsable(directory, name)
    return directory
  }
  return { kind: 'local', directory: path, identity, ignores: true, open }
}

function notUsable(directory: NoDirectory, shown: string): TbuildError {
  return directory === 'missing'
    ? new TbuildError('CONTEXT_NOT_FOUND', `unable to prepare context: path "${shown}" not found`)
    : new TbuildError('CONTEXT_NOT_DIRECTORY', `unable to prepare context: "${shown}" is not a directory`)
}

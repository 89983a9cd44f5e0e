import { type Digest, digestProblem, isDigest } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import { splitLogin } from '../base/mask-url.ts'
import { baseName } from '../go/path.ts'
import { checkCommit, type GitReference, parseGitReference } from '../values/git-reference.ts'
import type { GitOp, HttpOp } from './op.ts'

/** What an ADD source is by its text (F33): http(s) is git only when the path ends in .git; `./`, `../` and `github.com/x/y` are paths. */
export function remoteKind(source: string): 'path' | 'http' | 'git' {
  const git = parseGitReference(source)
  if (git !== undefined && !git.shortForm) return 'git'
  return /^https?:\/\//.test(source) ? 'http' : 'path'
}

/** Flags of ADD that belong to its remote sources. */
interface RemoteFlags {
  readonly checksum?: string | undefined
  readonly keepGitDir?: boolean | undefined
}

/** The op of a source of that kind. */
export function remoteOp(source: string, kind: 'http' | 'git', flags: RemoteFlags): GitOp | HttpOp {
  return kind === 'git' ? gitOp(parseGitReference(source) as GitReference, flags) : httpOp(source, flags.checksum)
}

/** What the reference says and what the flags say must agree. */
export function gitOp(git: GitReference, flags: RemoteFlags = {}): GitOp {
  const { shortForm: _, keepGitDir, submodules = true, checksum, ...rest } = git
  if (flags.keepGitDir !== undefined && keepGitDir !== undefined && flags.keepGitDir !== keepGitDir) {
    throw new TbuildError('GIT_REFERENCE', 'inconsistent keep-git-dir configuration', { hint: 'say it in the flag or in the URL' })
  }
  const wanted = flags.checksum ? checkCommit(flags.checksum) : undefined
  if (wanted !== undefined && checksum !== undefined && wanted !== checksum) {
    throw new TbuildError('GIT_REFERENCE', `checksum mismatch "${wanted}" != "${checksum}"`, { hint: 'say it in the flag or in the URL' })
  }
  const commit = wanted ?? checksum
  return {
    kind: 'git',
    ...rest,
    keepGitDir: keepGitDir ?? flags.keepGitDir ?? false,
    submodules,
    ...(commit === undefined ? {} : { checksum: commit }),
  }
}

function httpOp(text: string, checksum?: string): HttpOp {
  const url = splitLogin(text)
  return {
    kind: 'http',
    ...url,
    ...(checksum ? { checksum: parseChecksum(checksum) } : {}),
    filename: urlFileName(url.url),
  }
}

/** Any digest that go-digest knows is well formed to BuildKit; ours is sha256. The texts are go-digest's. */
function parseChecksum(text: string): Digest {
  if (isDigest(text)) return text
  const fail = (problem: string) =>
    new TbuildError('DIGEST_INVALID', problem, { hint: 'write sha256: and 64 lower-case hexadecimal digits' })
  throw fail(digestProblem(text) ?? `the digest algorithm ${text.slice(0, text.indexOf(':'))} is not supported for ADD --checksum`)
}

/** BuildKit's name for a file that may not have the name it is given (pathutil.SafeFileName). */
const UNSAFE = 'download'

/** The last segment of the URL's path as it is written (F30). BuildKit gives a file a name by the URL alone: the server is not asked. */
function urlFileName(text: string): string {
  if (!URL.canParse(text)) throw new TbuildError('URL_INVALID', `not a URL: ${text}`, { hint: 'write http(s)://host/path' })
  const path = /^[^:]*:\/\/[^/?#]*([^?#]*)/.exec(text)?.[1] ?? ''
  const name = baseName(decode(path))
  if (name === '..') return UNSAFE
  return name === '.' || name === '/' || name.includes('\0') ? '__unnamed__' : name
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** Where in its tree a remote source is copied from. The file is the only one there, so a name with wildcards, which would be a pattern, need not be written. */
export function remotePath(op: GitOp | HttpOp): string {
  if (op.kind === 'git') return '/'
  return /[*?[\\]/.test(op.filename) ? '/*' : `/${op.filename}`
}

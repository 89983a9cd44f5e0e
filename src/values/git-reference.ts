import { posix } from 'node:path'
import { TbuildError } from '../base/errors.ts'
import { type Login, splitLogin } from '../base/mask-url.ts'
import { parseGoBool } from '../go/bool.ts'
import { goQuote } from '../go/quote.ts'

/** A git repository as a context or an ADD source names it (BuildKit's dfgitutil.ParseGitRef). */
export interface GitReference {
  /** What git is given: without query, fragment and login. */
  readonly remote: string
  /** Of an http(s) URL. */
  readonly login?: Login
  /** A commit, tag or branch; the remote's default branch without. */
  readonly ref?: string
  /** Cleaned, without a leading slash; absent for the root. */
  readonly subdir?: string
  /** The commit, or a prefix of it, that `ref` must lead to. */
  readonly checksum?: string
  readonly keepGitDir?: boolean
  readonly submodules?: boolean
  /** `commit` gives the files the commit's time. */
  readonly mtime?: 'checkout' | 'commit'
  /** `github.com/x/y`: a repository as a build context only, elsewhere a path (F33). */
  readonly shortForm: boolean
}

const SCP_STYLE = /^([A-Za-z0-9_][A-Za-z0-9_-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s
const WITH_SCHEME = /^(https?|ssh|git):\/\/(?:[^@/?#]*@)?([A-Za-z0-9[][^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/is

/**
 * Undefined for what is no repository: http(s) is one only when its path ends in `.git`; `./` and `../` never are. Errors (GIT_REFERENCE) are those of
 * the query and of a ref that could be taken for an option.
 */
export function parseGitReference(text: string): GitReference | undefined {
  if (text.startsWith('./') || text.startsWith('../')) return undefined
  const shortForm = text.startsWith('github.com/')
  const parts = splitReference(shortForm ? `https://${text}` : text, shortForm)
  if (parts === undefined) return undefined
  refuseSshPassword(parts.remote)
  const { ref: fragmentRef, subdir: fragmentSubdir } = splitFragment(parts.fragment)
  const query = parseQuery(parts.query, fragmentRef, fragmentSubdir)
  const subdir = cleanSubdir(query.subdir)
  const { url: remote, login } = splitLogin(parts.remote)
  return {
    remote,
    ...(login === undefined ? {} : { login }),
    ...(query.ref ? { ref: checkRef(query.ref) } : {}),
    ...(subdir === '' ? {} : { subdir }),
    ...(query.checksum === undefined ? {} : { checksum: checkCommit(query.checksum) }),
    ...(query.keepGitDir === undefined ? {} : { keepGitDir: query.keepGitDir }),
    ...(query.submodules === undefined ? {} : { submodules: query.submodules }),
    ...(query.mtime === undefined ? {} : { mtime: query.mtime }),
    shortForm,
  }
}

/** `--checksum` of a repository: a commit, or any prefix of one (F32). */
export function checkCommit(text: string): string {
  if (/^[0-9a-f]{1,64}$/i.test(text)) return text.toLowerCase()
  throw invalid(`invalid checksum ${text} for Git URL, expected hex commit hash`, 'give the commit, or the first digits of it')
}

/** git would hand it to ssh as a part of the user's name, in its arguments. */
export function refuseSshPassword(remote: string): void {
  if (/^ssh:\/\/[^/?#@]*:[^/?#]*@/i.test(remote)) throw invalid(`an ssh URL takes no password: ${remote}`, 'use --ssh, or an https URL')
}

interface ReferenceParts {
  readonly remote: string
  readonly query: string
  readonly fragment: string
}

function splitReference(text: string, anyPath: boolean): ReferenceParts | undefined {
  const url = WITH_SCHEME.exec(text)
  if (url === null) {
    const scp = SCP_STYLE.exec(text)
    return scp === null ? undefined : { remote: scp[1] as string, query: scp[2] ?? '', fragment: scp[3] ?? '' }
  }
  const [, scheme = '', , path = '', query = '', fragment = ''] = url
  if (/^https?$/i.test(scheme) && !anyPath && !path.endsWith('.git')) return undefined
  return { remote: text.split(/[?#]/, 1)[0] as string, query, fragment: decode(fragment) }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid(`invalid URL escape in ${goQuote(text)}`, 'write % as %25')
  }
}

/** `#ref:subdir`. */
function splitFragment(fragment: string): { ref: string; subdir: string } {
  const at = fragment.indexOf(':')
  return at < 0 ? { ref: fragment, subdir: '' } : { ref: fragment.slice(0, at), subdir: fragment.slice(at + 1) }
}

interface Query {
  ref: string
  subdir: string
  checksum?: string
  keepGitDir?: boolean
  submodules?: boolean
  mtime?: 'checkout' | 'commit'
}

function parseQuery(text: string, ref: string, subdir: string): Query {
  const query: Query = { ref, subdir }
  const parameters = new URLSearchParams(text)
  let fetchByCommit = false
  for (const key of new Set(parameters.keys())) {
    const values = parameters.getAll(key)
    if (values.length > 1) throw invalid(`query "${key}" has multiple values`)
    const value = values[0] as string
    if (value === '' && !FLAGS.has(key)) throw invalid(`query "${key}" has no value`)
    if (key === 'fetch-by-commit') fetchByCommit = parseBoolean(key, value)
    else applyParameter(query, key, value)
  }
  applyName(query, parameters.get('tag'), parameters.get('branch'))
  if (fetchByCommit && !FULL_COMMIT.test(query.checksum ?? '')) {
    throw invalid('fetch-by-commit needs the full commit', 'give it as checksum=')
  }
  // A shortened commit names nothing: it must be what the default branch, or the ref, leads to.
  if (query.checksum !== undefined && (fetchByCommit || (query.ref === '' && FULL_COMMIT.test(query.checksum)))) query.ref = query.checksum
  return query
}

const FULL_COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/i

const FLAGS: ReadonlySet<string> = new Set(['submodules', 'keep-git-dir', 'fetch-by-commit'])

function applyParameter(query: Query, key: string, value: string): void {
  switch (key) {
    case 'ref':
    case 'subdir':
      if (query[key] !== '' && query[key] !== value) throw conflict(key, query[key], value)
      query[key] = value
      return
    case 'tag':
    case 'branch':
      return
    case 'checksum':
    case 'commit':
      if (query.checksum !== undefined && query.checksum !== value) throw conflict('checksum', query.checksum, value)
      query.checksum = value
      return
    case 'keep-git-dir':
      query.keepGitDir = parseBoolean(key, value)
      return
    case 'submodules':
      query.submodules = parseBoolean(key, value)
      return
    case 'mtime':
      if (value !== 'checkout' && value !== 'commit') throw invalid(`invalid mtime value: "${value}"`, 'checkout or commit')
      query.mtime = value
      return
    default:
      throw invalid(
        `unexpected query "${key}"`,
        'ref, tag, branch, commit, checksum, subdir, submodules, keep-git-dir, mtime, fetch-by-commit',
      )
  }
}

/** `tag=` and `branch=` are refs with their full name, so that one cannot be taken for the other. */
function applyName(query: Query, tag: string | null, branch: string | null): void {
  if (tag !== null && branch !== null) throw invalid('branch conflicts with tag')
  if (tag !== null) setRef(query, tag.startsWith('refs/tags/') ? tag : `refs/tags/${tag}`)
  if (branch !== null) setRef(query, branch.startsWith('refs/heads/') ? branch : `refs/heads/${branch}`)
}

function setRef(query: Query, ref: string): void {
  if (query.ref !== '' && query.ref !== ref) throw conflict('ref', query.ref, ref)
  query.ref = ref
}

/** A bare key says yes. */
function parseBoolean(key: string, value: string): boolean {
  const parsed = value === '' ? true : parseGoBool(value)
  if (parsed !== undefined) return parsed
  throw invalid(`invalid ${key} value: "${value}"`, 'true or false')
}

/** What git itself refuses in a name, and a leading `-`, which is an option (CVE-2019-13139). */
function checkRef(ref: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (ref.startsWith('-') || /[\u0000- \u007f~^:?*[\\]|\.\.|@\{/.test(ref)) {
    throw invalid(`invalid git ref ${goQuote(ref)}`, 'name a branch, a tag or a commit')
  }
  return ref
}

/** `..` stops at the repository's root, as BuildKit has it; that every component is a real directory is checked in the checkout. */
function cleanSubdir(subdir: string): string {
  if (subdir.includes('\0')) throw invalid('a subdirectory holds a NUL')
  return posix.join('/', subdir).replace(/^\/+|\/+$/g, '')
}

function conflict(key: string, a: string, b: string): TbuildError {
  return invalid(`${key} conflicts: ${goQuote(a)} vs ${goQuote(b)}`)
}

function invalid(message: string, hint = 'see `git` in the documentation of contexts'): TbuildError {
  return new TbuildError('GIT_REFERENCE', message, { hint })
}

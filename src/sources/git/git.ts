import { lutimes, mkdir, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { TbuildError } from '../../base/errors.ts'
import { splitLogin } from '../../base/mask-url.ts'
import { DEFAULT_LIMITS, limitHint } from '../../values/limits.ts'
import { cannotFetchOne, type GitAccess, GitCommand, type GitFailure, gitFailed } from './command.ts'
import { walkFolder } from './folder-walk.ts'
import { type SizeLimits, withinSize } from './size-watch.ts'
import { entryType, updateSubmodules } from './submodules.ts'

/** Which files of which repository. */
export interface GitSource {
  readonly remote: string
  readonly ref?: string
  readonly subdir?: string
  /** The commit, or its first digits. */
  readonly checksum?: string
  readonly keepGitDir: boolean
  readonly submodules: boolean
  readonly mtime?: 'checkout' | 'commit'
}

/** What a ref leads to. */
export interface GitCommit {
  readonly commit: string
  /** The ref's full name and the object that it names: a tag's own, or the commit. Absent when the commit was named. */
  readonly ref?: { readonly name: string; readonly object: string }
}

const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/

/** Asks the remote what the ref is now; a full commit is what it is. Errors: GIT_REF_NOT_FOUND, GIT_CHECKSUM, GIT_FAILED, GIT_MISSING. */
export async function resolveGitCommit(source: GitSource, access: GitAccess): Promise<GitCommit> {
  const { ref, checksum, remote } = source
  const found = ref !== undefined && COMMIT.test(ref) ? { commit: ref } : await askRemote(remote, ref, access)
  const matches = checksum === undefined || found.commit.startsWith(checksum) || found.ref?.object.startsWith(checksum) === true
  if (matches) return found
  throw new TbuildError('GIT_CHECKSUM', `expected checksum to match ${checksum}, got ${found.commit}`, {
    hint: 'the ref has moved, or is not what you pinned',
  })
}

async function askRemote(remote: string, ref: string | undefined, access: GitAccess): Promise<GitCommit> {
  const git = new GitCommand(remote, access)
  // Shown by `ls-remote --symref`: what HEAD of the remote points to.
  const args = ref === undefined ? ['--symref', '--', 'origin', 'HEAD'] : ['--', 'origin', ref, `${ref}^{}`]
  const output = await git.run(['ls-remote', ...args], '/')
  const objects = new Map<string, string>()
  let head: string | undefined
  for (const line of output.split('\n')) {
    const [left = '', name = ''] = line.split('\t')
    if (left.startsWith('ref: ')) head = left.slice('ref: '.length)
    else if (COMMIT.test(left)) objects.set(name, left)
  }
  const found = ref === undefined ? headCommit(objects, head) : namedCommit(objects, ref)
  if (found !== undefined) return found
  throw new TbuildError('GIT_REF_NOT_FOUND', `repository does not contain ref ${ref ?? 'HEAD'}`, {
    hint: `\`git ls-remote ${shownRemote(remote)}\` lists its branches and tags; a commit is written with all its digits`,
  })
}

function headCommit(objects: ReadonlyMap<string, string>, head: string | undefined): GitCommit | undefined {
  const commit = objects.get('HEAD')
  return commit === undefined ? undefined : { commit, ...(head === undefined ? {} : { ref: { name: head, object: commit } }) }
}

/** As git checkout: the name in full, then a branch, then a tag. ls-remote also gives names that only end in the same. */
function namedCommit(objects: ReadonlyMap<string, string>, ref: string): GitCommit | undefined {
  const names = [
    `refs/${ref.replace(/^refs\//, '')}`,
    `refs/heads/${ref.replace(/^refs\/heads\//, '')}`,
    `refs/tags/${ref.replace(/^refs\/tags\//, '')}`,
  ]
  for (const name of ref === 'HEAD' ? ['HEAD'] : names) {
    const object = objects.get(name)
    if (object !== undefined) return { commit: objects.get(`${name}^{}`) ?? object, ref: { name, object } }
  }
  return undefined
}

/** The remote without a login. */
function shownRemote(remote: string): string {
  return splitLogin(remote).url
}

/** Files and directories that a repository may have: as many as a tar. */
const MAX_ENTRIES = 10_000_000

/**
 * Writes the files of the commit into `target`, an empty directory, which gets the commit's time. `scratch` is a path on the same file system where nothing is; it is removed.
 * Errors: GIT_FAILED, GIT_REF_NOT_FOUND, GIT_SUBDIR, GIT_TOO_LARGE.
 */
export async function checkoutGit(source: GitSource, found: GitCommit, target: string, scratch: string, access: GitAccess): Promise<void> {
  await mkdir(scratch, { mode: 0o700 })
  const limits = { bytes: access.limit ?? DEFAULT_LIMITS.git, entries: MAX_ENTRIES }
  const over = (what: keyof SizeLimits) => tooLarge(source.remote, limits, what)
  try {
    await withinSize([scratch, target], limits, access.signal, over, (signal, check) =>
      new Checkout(source, found, target, scratch, { ...access, signal }).run(check),
    )
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

export function tooLarge(remote: string, { bytes, entries }: SizeLimits, what: keyof SizeLimits): TbuildError {
  const [size, hint] =
    what === 'bytes'
      ? [`${bytes} bytes`, limitHint('git')]
      : [`${entries} files`, 'no option raises this limit: a repository cannot have more']
  return new TbuildError('GIT_TOO_LARGE', `the repository ${shownRemote(remote)} has more than ${size}`, { hint })
}

class Checkout {
  readonly #source: GitSource
  readonly #found: GitCommit
  readonly #target: string
  readonly #work: string
  readonly #gitDir: string
  readonly #keep: boolean
  readonly #git: GitCommand

  constructor(source: GitSource, found: GitCommit, target: string, scratch: string, access: GitAccess) {
    this.#source = source
    this.#found = found
    this.#target = target
    // A subdirectory has no repository to keep.
    this.#keep = source.keepGitDir && source.subdir === undefined
    this.#work = source.subdir === undefined ? target : join(scratch, 'work')
    this.#gitDir = this.#keep ? join(target, '.git') : join(scratch, 'git')
    this.#git = new GitCommand(source.remote, access)
  }

  /** `check`: whether what was fetched is within its limit. */
  async run(check: () => Promise<void>): Promise<void> {
    await mkdir(this.#work, { recursive: true, mode: 0o755 })
    // A repository of SHA-256 has names of 64 digits; older git does not know the option.
    const format = this.#found.commit.length === 64 ? ['--object-format=sha256'] : []
    await this.#run('init', '--quiet', '--template=', ...format, ...(this.#keep ? [] : ['--bare']))
    await this.#fetch()
    await check()
    await this.#run('checkout', '--quiet', '--force', '--detach', this.#found.commit, '--')
    const submodules = this.#source.submodules && (await updateSubmodules(this.#git, { folder: this.#work, options: this.#place([]) }))
    const time = Number((await this.#run('show', '--no-patch', '--format=%ct', this.#found.commit, '--')).trim())
    if (submodules && !this.#keep) await settleGitFiles(this.#work, this.#gitDir)
    if (this.#source.mtime === 'commit') await this.#setTimes(time)
    if (this.#keep) await this.#finishGitDir()
    if (this.#source.subdir !== undefined) await this.#moveSubdir(this.#source.subdir)
    await utimes(this.#target, time, time)
  }

  #run(...args: string[]): Promise<string> {
    return this.#git.run(args, this.#work, this.#place(args))
  }

  #attempt(...args: string[]): Promise<string | GitFailure> {
    return this.#git.attempt(args, this.#work, this.#place(args))
  }

  /** `init` of a bare repository refuses a work tree. */
  #place(args: readonly string[]): string[] {
    return ['--git-dir', this.#gitDir, ...(args.includes('--bare') ? [] : ['--work-tree', this.#work])]
  }

  /** The one commit; from servers that cannot give one alone, everything. */
  async #fetch(): Promise<void> {
    const { commit, ref } = this.#found
    const wanted = this.#keep && ref?.name.startsWith('refs/') ? `+${ref.object}:${ref.name}` : commit
    const one = await this.#attempt(
      'fetch',
      '--quiet',
      '--depth=1',
      '--no-tags',
      '--update-head-ok',
      '--no-write-fetch-head',
      '--',
      'origin',
      wanted,
    )
    if (typeof one === 'string') return
    if (!cannotFetchOne(one)) throw gitFailed('fetch', one)
    await this.#run('fetch', '--quiet', '--no-tags', '--update-head-ok', '--no-write-fetch-head', '--', 'origin', ...ALL_REFS)
    const there = await this.#attempt('cat-file', '-e', `${commit}^{commit}`)
    if (typeof there === 'string') return
    throw new TbuildError('GIT_REF_NOT_FOUND', `repository does not contain commit ${commit}`, {
      hint: 'no branch or tag of it leads there',
    })
  }

  async #setTimes(seconds: number): Promise<void> {
    const gitDir = Buffer.from(this.#gitDir)
    for await (const { path } of walkFolder(this.#work)) {
      if (!path.equals(gitDir) && path.indexOf(`${this.#gitDir}/`) !== 0) await lutimes(path, seconds, seconds)
    }
  }

  /** The repository is left as a clone has it, without what only this fetch needed. */
  async #finishGitDir(): Promise<void> {
    await rm(join(this.#gitDir, 'FETCH_HEAD'), { force: true })
    // Not before now: a remote of the file would come before that of the environment.
    await this.#run('config', '--file', join(this.#gitDir, 'config'), 'remote.origin.url', shownRemote(this.#source.remote))
    await this.#run('config', '--file', join(this.#gitDir, 'config'), 'remote.origin.fetch', '+refs/heads/*:refs/remotes/origin/*')
    await rm(join(this.#gitDir, 'hooks'), { recursive: true, force: true })
    await mkdir(join(this.#gitDir, 'info'), { recursive: true })
    await writeFile(join(this.#gitDir, 'info', 'exclude'), '')
  }

  /** Every component is a real directory: a symlink of the repository leads nowhere (CVE-2026-33748). */
  async #moveSubdir(subdir: string): Promise<void> {
    let folder = this.#work
    let at = ''
    for (const name of subdir.split('/')) {
      folder = join(folder, name)
      at = at === '' ? name : `${at}/${name}`
      const type = await entryType(folder)
      if (type === 'directory') continue
      const why = type === undefined ? `no such directory: "${at}"` : `git subpath "/${subdir}" contains non-directory "${at}"`
      throw new TbuildError('GIT_SUBDIR', `invalid subdir /${subdir}: ${why}`, { hint: 'name a directory of the repository' })
    }
    for (const name of await readdir(folder, { encoding: 'buffer' })) {
      await rename(Buffer.concat([Buffer.from(`${folder}/`), name]), Buffer.concat([Buffer.from(`${this.#target}/`), name]))
    }
  }
}

const ALL_REFS = ['+refs/heads/*:refs/remotes/origin/*', '+refs/tags/*:refs/tags/*']

/**
 * A submodule's `.git` is a file that points into the repository: BuildKit leaves it, with the name of one of its snapshots, which is another each time and leads nowhere.
 * Here it says what it says in a clone. git lets no tracked file have that name.
 */
async function settleGitFiles(folder: string, gitDir: string): Promise<void> {
  const found: Buffer[] = []
  for await (const { path } of walkFolder(folder)) {
    if (path.subarray(-5).toString('latin1') === '/.git') found.push(path)
  }
  // Names are bytes.
  const [root, repository] = [folder, gitDir].map((path) => Buffer.from(path).toString('latin1')) as [string, string]
  for (const path of found) {
    const directory = dirname(path.toString('latin1'))
    const target = /^gitdir: (.*)\n?$/.exec(await readFile(path, 'latin1'))?.[1]
    const inside = relative(repository, resolve(directory, target ?? '.'))
    await writeFile(path, `gitdir: ${join(relative(directory, root), '.git', inside)}\n`, 'latin1')
  }
}

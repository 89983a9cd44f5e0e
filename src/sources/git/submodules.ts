import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode } from '../../base/errors.ts'
import { splitLogin } from '../../base/mask-url.ts'
import { refuseSshPassword } from '../../values/git-reference.ts'
import { cannotFetchOne, type GitCommand, gitFailed, loginConfig } from './command.ts'

/** A repository with its work tree: where git runs, and the options that name them; none for a submodule, whose `.git` does. */
export interface WorkTree {
  readonly folder: string
  readonly options: readonly string[]
}

/**
 * Checks out the submodules, theirs included; false when there are none. Level by level and not by --recursive: git hands the URLs of .gitmodules to its
 * helpers as arguments, so a login is taken out of each before, and given as a header; and a relative URL is of the repository that it stands in.
 */
export async function updateSubmodules(git: GitCommand, tree: WorkTree): Promise<boolean> {
  if ((await entryType(join(tree.folder, '.gitmodules'))) !== 'file') return false
  const own = await withoutLogins(git, tree)
  await update(own, tree)
  for (const path of await modulePaths(own, tree)) {
    const nested = { folder: join(tree.folder, path), options: [] }
    // git would look for a repository above it.
    if ((await entryType(join(nested.folder, '.git'))) !== 'file') continue
    const remote = await own.run(['config', '--local', '--get', 'remote.origin.url'], nested.folder)
    await updateSubmodules(own.of(remote.trim()), nested)
  }
  return true
}

async function update(git: GitCommand, { folder, options }: WorkTree): Promise<void> {
  const args = ['submodule', '--quiet', 'update', '--init']
  const shallow = await git.attempt([...args, '--depth=1'], folder, options)
  if (typeof shallow === 'string') return
  if (!cannotFetchOne(shallow)) throw gitFailed('submodule', shallow)
  await git.run(args, folder, options)
}

/** What the repository's own configuration says of a submodule comes before .gitmodules. */
async function withoutLogins(git: GitCommand, { folder, options }: WorkTree): Promise<GitCommand> {
  const listed = await git.attempt(['config', '-z', '--file', '.gitmodules', '--get-regexp', '^submodule\\..*\\.url$'], folder, options)
  const logins: Record<string, string> = {}
  for (const line of typeof listed === 'string' ? listed.split('\0') : []) {
    const end = line.indexOf('\n')
    const [key, value] = [line.slice(0, end), line.slice(end + 1)]
    refuseSshPassword(value)
    const { url, login } = splitLogin(value)
    if (end < 0 || login === undefined) continue
    await git.run(['config', key, url], folder, options)
    Object.assign(logins, loginConfig(url, login.basic()))
  }
  return git.withConfig(logins)
}

/** Those of the commit, as git keeps them: none leads out of the work tree, and none through a symlink. */
async function modulePaths(git: GitCommand, { folder, options }: WorkTree): Promise<string[]> {
  const entries = (await git.run(['ls-files', '--stage', '-z'], folder, options)).split('\0')
  return entries.filter((entry) => entry.startsWith('160000 ')).map((entry) => entry.slice(entry.indexOf('\t') + 1))
}

export async function entryType(path: string): Promise<'file' | 'directory' | 'other' | undefined> {
  try {
    const stat = await lstat(path)
    return stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : 'other'
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
    throw error
  }
}

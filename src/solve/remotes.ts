import { constants } from 'node:fs'
import { chmod, copyFile, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { isDigest, sha256 } from '../base/digest.ts'
import { type Environment, homeFolder } from '../base/environment.ts'
import { type Login, maskUrls } from '../base/mask-url.ts'
import { SharedWork } from '../base/shared-work.ts'
import type { Caller } from '../caller/caller.ts'
import type { GitOp, HttpOp } from '../graph/op.ts'
import type { GitStep, RemoteFile, Remotes, UrlStep } from '../ops/remotes.ts'
import type { Asker, SecretProvider } from '../ops/types.ts'
import type { GitAccess } from '../sources/git/command.ts'
import type { GitCommit } from '../sources/git/git.ts'
import type { Registries } from '../sources/registry/open.ts'
import type { FetchCache, FetchedFile } from '../sources/url/fetch.ts'
import type { StatCacheFile } from '../store/stat-cache.ts'
import type { Store } from '../store/store.ts'
import type { Limits } from '../values/limits.ts'
import type { Images } from './images.ts'

interface UrlDeps {
  readonly store: Pick<Store, 'blobs'>
  readonly secrets: Pick<SecretProvider, 'secret'>
  /** What earlier builds fetched of URLs. */
  readonly known: Pick<StatCacheFile, 'get' | 'set'>
  readonly registries: Pick<Registries, 'client'>
  readonly limits: Pick<Limits, 'url'>
}

interface GitDeps {
  readonly store: Pick<Store, 'temporary'>
  readonly secrets: SecretProvider
  readonly caller: Pick<Caller, 'environment'>
  /** Used for repositories over ssh when `--ssh default` was not given: for a build context over ssh, as buildx has it. */
  readonly agent: (() => Promise<string | undefined>) | undefined
  readonly limits: Pick<Limits, 'git'>
}

type RemotesDeps = UrlDeps & GitDeps & { readonly images: Pick<Images, 'layers'> }

/** What ops fetch from elsewhere; the code that does it is loaded at its first use. One build sees one state of the outside. */
export function remotes(deps: RemotesDeps): Remotes {
  const files = new SharedWork<string, RemoteFile>()
  const commits = new SharedWork<string, GitCommit>()
  return {
    image: (digest, vertex) => deps.images.layers(digest, vertex),
    file: (op, step) => files.of(JSON.stringify(op), () => fetchFile(op, deps, step), step.signal),
    placeFile: (file, folder) => placeFile(file, folder, deps.store),
    commit(op, step) {
      const resolve = async () => (await git()).resolveGitCommit(op, await gitAccess(op, deps, step))
      return commits.of(JSON.stringify(op), resolve, step.signal)
    },
    async checkout(op, commit, folder, step) {
      const scratch = deps.store.temporary()
      await (await git()).checkoutGit(op, commit, folder, scratch, await gitAccess(op, deps, step))
    },
  }
}

const git = () => import('../sources/git/git.ts')

async function fetchFile(op: HttpOp, { store, secrets, known, registries, limits }: UrlDeps, step: UrlStep): Promise<RemoteFile> {
  const [{ fetchUrl }, { transport }] = await Promise.all([import('../sources/url/fetch.ts'), registries.client()])
  const authorization = await httpAuthorization(op, secrets)
  const file = await fetchUrl(op.url, {
    ...(op.login === undefined ? {} : { login: op.login.basic() }),
    blobs: store.blobs,
    transport,
    ...step,
    limit: limits.url,
    // What a login shows is nobody else's.
    ...(authorization === undefined ? { cache: fetchCache(known, op.login) } : { authorization }),
    ...(op.checksum === undefined ? {} : { checksum: op.checksum }),
  })
  return { name: op.filename, digest: file.digest, mtime: file.lastModified ?? 0 }
}

/** Mode 0600, with the time of Last-Modified, else the epoch (F30). */
async function placeFile(file: RemoteFile, folder: string, store: UrlDeps['store']): Promise<void> {
  const path = join(folder, file.name)
  await copyFile(store.blobs.path(file.digest), path, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
  await chmod(path, 0o600)
  await utimes(path, file.mtime, file.mtime)
}

/** Losing it costs time only, so it lies with the other caches of digests: one JSON a URL, ASCII. */
function fetchCache(known: UrlDeps['known'], login: Login | undefined): FetchCache {
  // What a login or a token shows is found with the same one only, and the store has neither.
  const keyOf = (url: string) => (login === undefined && maskUrls(url) === url ? url : sha256(`${login?.reveal() ?? ''}@${url}`))
  return {
    async get(url) {
      const text = known.get(keyOf(url))
      return text === undefined ? undefined : parseFetched(text)
    },
    async set(url, file) {
      known.set(
        keyOf(url),
        JSON.stringify(file).replace(/[\u007f-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`),
      )
    },
  }
}

function parseFetched(text: string): FetchedFile | undefined {
  try {
    const value = JSON.parse(text) as FetchedFile
    return isDigest(value.digest) ? value : undefined
  } catch {
    return undefined
  }
}

/** Secrets HTTP_AUTH_HEADER_<host> (a whole value) and HTTP_AUTH_TOKEN_<host> (a bearer's). */
async function httpAuthorization(op: HttpOp, secrets: UrlDeps['secrets']): Promise<string | undefined> {
  const { host } = new URL(op.url)
  const header = await secretText(`HTTP_AUTH_HEADER_${host}`, op, secrets)
  if (header !== undefined) return header
  const token = await secretText(`HTTP_AUTH_TOKEN_${host}`, op, secrets)
  return token === undefined ? undefined : `Bearer ${token}`
}

/** Secrets GIT_AUTH_HEADER and GIT_AUTH_TOKEN, for one host with `.<host>` after the name. */
async function gitAuthorization(op: GitOp, secrets: UrlDeps['secrets']): Promise<string | undefined> {
  if (!/^https?:/i.test(op.remote)) return undefined
  const { host } = new URL(op.remote)
  for (const suffix of [`.${host}`, '']) {
    const header = await secretText(`GIT_AUTH_HEADER${suffix}`, op, secrets)
    if (header !== undefined) return header
    const token = await secretText(`GIT_AUTH_TOKEN${suffix}`, op, secrets)
    if (token !== undefined) return `Basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`
  }
  return undefined
}

/** A file of a secret often ends in a newline, which no header may hold. */
async function secretText(id: string, asker: Asker, secrets: UrlDeps['secrets']): Promise<string | undefined> {
  const data = await secrets.secret(id, asker)
  return data === undefined ? undefined : Buffer.from(data).toString('utf8').trim()
}

async function gitAccess(
  op: GitOp,
  { store, secrets, caller: { environment }, agent, limits }: GitDeps,
  step: GitStep,
): Promise<GitAccess> {
  const authorization = (await gitAuthorization(op, secrets)) ?? op.login?.basic()
  const ssh = /^https?:|^git:/i.test(op.remote)
    ? {}
    : {
        sshSocket: secrets.withholds('ssh', op) ? undefined : ((await secrets.ssh('default', op)) ?? (await agent?.())),
        knownHosts: knownHosts(store, environment),
      }
  return { environment, authorization, limit: limits.git, ...ssh, ...step }
}

function knownHosts(store: GitDeps['store'], environment: Environment): string[] {
  return [store.temporary(), join(homeFolder(environment), '.ssh', 'known_hosts')]
}

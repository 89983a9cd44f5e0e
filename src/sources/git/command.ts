import { type ChildProcess, spawn } from 'node:child_process'
import type { Environment } from '../../base/environment.ts'
import { errorCode, TbuildError } from '../../base/errors.ts'
import { maskUrls, splitLogin } from '../../base/mask-url.ts'
import { pump } from '../../base/pump.ts'
import { printable } from '../../http/redact.ts'

/** How a repository is reached. */
export interface GitAccess {
  /** The caller's; git gets PATH and the proxies of it, nothing else. */
  readonly environment: Environment
  /** A whole Authorization header for http(s). Never in an argument or a file; nor is a login of the URL, which becomes one. */
  readonly authorization?: string | undefined
  /** Socket of an ssh agent. */
  readonly sshSocket?: string | undefined
  /** Files of host keys; new hosts are added to the first. */
  readonly knownHosts?: readonly string[] | undefined
  readonly signal?: AbortSignal | undefined
  /** Bytes that a repository and its checkout may have on disk. */
  readonly limit?: number | undefined
  /** What git prints; a promise is waited for. */
  readonly onOutput?: ((stream: 'stdout' | 'stderr', data: Uint8Array) => unknown) | undefined
}

/** git failed: the code of a caller's next try lies in what it said. */
export interface GitFailure {
  readonly status: number | null
  readonly stderr: string
}

const OUTPUT_LIMIT = 64 * 1024 * 1024
const STDERR_LIMIT = 64 * 1024

/** Every repository is hostile: no hooks, no helpers, no file protocol, nothing of the caller's configuration (docs/security.md, rule 3). */
const CONFIG: Readonly<Record<string, string>> = {
  'advice.detachedHead': 'false',
  'core.autocrlf': 'false',
  'core.fsmonitor': 'false',
  'core.hooksPath': '/dev/null',
  'core.logAllRefUpdates': 'false',
  'credential.helper': '',
  'fetch.recurseSubmodules': 'false',
  'gc.auto': '0',
  'http.lowSpeedLimit': '1',
  'http.lowSpeedTime': '60',
  'init.defaultBranch': 'master',
  'maintenance.auto': 'false',
  'protocol.file.allow': 'user',
  // The folders are ours, whoever we are in a user namespace.
  'safe.directory': '*',
  'submodule.recurse': 'false',
}

/** One remote, and git run on it in a closed environment. */
export class GitCommand {
  readonly #environment: Record<string, string>
  readonly #access: GitAccess
  readonly #url: string
  readonly #logins: Readonly<Record<string, string>>

  /** `logins`: configuration that gives them; absent: what the URL and the access say. */
  constructor(remote: string, access: GitAccess, logins?: Readonly<Record<string, string>>) {
    this.#access = access
    const { url, login } = splitLogin(remote)
    const header = access.authorization ?? login?.basic()
    this.#url = url
    this.#logins = logins ?? (header === undefined ? {} : loginConfig(sharedScope(url), header))
    this.#environment = {
      ...closedEnvironment(access),
      ...configEnvironment({ ...CONFIG, 'remote.origin.url': url, ...this.#logins }),
    }
  }

  /** The same for another remote: each login goes on to where it belongs. */
  of(remote: string): GitCommand {
    return new GitCommand(remote, this.#access, this.#logins)
  }

  /** With more logins. They are of repositories, so they come first: git sends what fits as well as the best before it. */
  withConfig(logins: Readonly<Record<string, string>>): GitCommand {
    return new GitCommand(this.#url, this.#access, { ...logins, ...this.#logins })
  }

  /** What git printed; GIT_FAILED otherwise. `options` stand before the command. */
  async run(args: readonly string[], folder: string, options: readonly string[] = []): Promise<string> {
    const result = await this.attempt(args, folder, options)
    if (typeof result === 'string') return result
    throw gitFailed(args[0] as string, result)
  }

  /** Like run, but a failure of git is a value. */
  attempt(args: readonly string[], folder: string, options: readonly string[] = []): Promise<string | GitFailure> {
    // A umask of the caller's must not show in the files: modes are 644 and 755 (F33).
    const child = spawn('/bin/sh', ['-c', 'umask 022; exec git "$@"', 'git', ...options, ...args], {
      cwd: folder,
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      // Its helpers do not die with it: they are killed as a group.
      detached: true,
    })
    return collect(child, this.#access)
  }
}

function collect(child: ChildProcess, { signal, onOutput }: GitAccess): Promise<string | GitFailure> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      if (child.pid !== undefined) killGroup(child.pid)
    }
    signal?.addEventListener('abort', stop, { once: true })
    if (signal?.aborted) stop()
    const out = gather(child, 'stdout', { limit: OUTPUT_LIMIT, stop, signal, onOutput })
    const err = gather(child, 'stderr', { limit: STDERR_LIMIT, signal, onOutput })
    const settle = (run: () => void) => {
      signal?.removeEventListener('abort', stop)
      run()
    }
    child.on('error', (error) => settle(() => reject(error)))
    child.on('close', (status) =>
      settle(() => {
        if (signal?.aborted) return reject(signal.reason)
        resolve(status === 0 && !out.over() ? out.text() : { status, stderr: err.text() })
      }),
    )
  })
}

function gather(
  child: ChildProcess,
  stream: 'stdout' | 'stderr',
  { limit, stop, signal, onOutput }: Pick<GitAccess, 'signal' | 'onOutput'> & { readonly limit: number; readonly stop?: () => void },
) {
  const chunks: Buffer[] = []
  let size = 0
  const report = maskedLines((data) => onOutput?.(stream, data))
  const take = (chunk: Buffer) => {
    size += chunk.length
    if (size <= limit) chunks.push(chunk)
    else stop?.()
    return report(chunk)
  }
  const pipe = child[stream]
  if (pipe) pump(pipe, take, signal)
  pipe?.on('end', () => report(undefined))
  return { text: () => Buffer.concat(chunks).toString('utf8'), over: () => size > limit }
}

/** Hands on whole lines, without the logins of URLs: one that is cut cannot be known. undefined is the end. */
function maskedLines(write: (data: Buffer) => unknown): (chunk: Buffer | undefined) => unknown {
  let rest = ''
  return (chunk) => {
    const text = rest + (chunk?.toString('latin1') ?? '')
    const end =
      chunk === undefined || text.length > STDERR_LIMIT ? text.length : Math.max(text.lastIndexOf('\n'), text.lastIndexOf('\r')) + 1
    rest = text.slice(end)
    return end > 0 ? write(Buffer.from(maskUrls(text.slice(0, end)), 'latin1')) : undefined
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error
  }
}

export function gitFailed(what: string, { status, stderr }: GitFailure): TbuildError {
  if (status === 127)
    return new TbuildError('GIT_MISSING', 'git is not installed', { hint: 'install git, or give the repository as a directory' })
  const moved = /returned error: 30[12378]/.test(stderr)
  return new TbuildError('GIT_FAILED', `git ${what}: ${printable(stderr, 1000) || `exit status ${status}`}`, {
    hint: moved
      ? 'the repository has moved: write its new URL, since a login is not sent on to where a server redirects'
      : 'check the URL, the ref and your access; a private repository needs a secret GIT_AUTH_TOKEN, or --ssh',
  })
}

function closedEnvironment({ environment, sshSocket, knownHosts = [] }: GitAccess): Record<string, string> {
  const closed: Record<string, string> = {
    PATH: environment.PATH ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/dev/null',
    LC_ALL: 'C',
    GIT_ALLOW_PROTOCOL: 'http:https:git:ssh',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ASKPASS: '/bin/false',
    GIT_SSH_COMMAND: sshCommand(knownHosts),
  }
  for (const name of ['http_proxy', 'https_proxy', 'no_proxy', 'all_proxy'].flatMap((proxy) => [proxy, proxy.toUpperCase()])) {
    const value = environment[name]
    if (value !== undefined) closed[name] = value
  }
  if (sshSocket !== undefined) closed.SSH_AUTH_SOCK = sshSocket
  return closed
}

/** A host that is known must have its key; one that is not is trusted at first sight, as BuildKit does. */
function sshCommand(knownHosts: readonly string[]): string {
  const files = knownHosts.map((file) => `"${file.replace(/[\\"]/g, '\\$&')}"`).join(' ')
  const known = files === '' ? '' : ` -o 'UserKnownHostsFile=${files.replaceAll("'", `'\\''`)}'`
  return `ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=${files === '' ? 'no -o UserKnownHostsFile=/dev/null' : 'accept-new'}${known}`
}

function configEnvironment(config: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(config)
  const environment: Record<string, string> = { GIT_CONFIG_COUNT: String(entries.length) }
  entries.forEach(([key, value], index) => {
    environment[`GIT_CONFIG_KEY_${index}`] = key
    environment[`GIT_CONFIG_VALUE_${index}`] = value
  })
  return environment
}

/** GitHub's is one login for all its repositories, so submodules work; elsewhere it is for the repository only (BuildKit's tokenScope). */
function sharedScope(url: string): string {
  return ['https://github.com/', 'https://www.github.com/'].find((prefix) => url.startsWith(prefix)) ?? url
}

/** git follows the first redirect and then sends its headers to where that led, whosever host that is: a login follows none. */
export function loginConfig(scope: string, header: string): Record<string, string> {
  return { [`http.${scope}.extraHeader`]: `Authorization: ${header}`, [`http.${scope}.followRedirects`]: 'false' }
}

/** Dumb http, and servers that serve only the tips of refs. */
export function cannotFetchOne({ stderr }: GitFailure): boolean {
  return /--depth|shallow|not our ref|unadvertised object|dumb http/i.test(stderr)
}

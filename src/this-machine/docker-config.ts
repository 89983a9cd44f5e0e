import { join } from 'node:path'
import type { Environment } from '../base/environment.ts'
import { configFolder } from '../base/environment.ts'
import { isTbuildError } from '../base/errors.ts'
import type { Credentials, HostCredentials } from '../caller/credentials.ts'
import { authVariable } from './auth-variable.ts'
import { dockerConfigFile, readDockerConfig } from './docker-config-file.ts'

interface ConfigFile {
  readonly file: string
  readonly auths: ReadonlyMap<string, unknown>
  readonly credHelpers: ReadonlyMap<string, unknown>
  readonly credsStore: string | undefined
}

/** Docker Hub's key, in its one spelling. */
const HUB = 'docker.io'
const HUB_SERVER = 'https://index.docker.io/v1/'

/** The files that hold logins, nearest first: docker's and containers'. REGISTRY_AUTH_FILE replaces them all. */
function authFiles(environment: Environment): string[] {
  if (environment.REGISTRY_AUTH_FILE) return [environment.REGISTRY_AUTH_FILE]
  return [
    dockerConfigFile(environment),
    ...(environment.XDG_RUNTIME_DIR ? [join(environment.XDG_RUNTIME_DIR, 'containers/auth.json')] : []),
    join(configFolder(environment), 'containers/auth.json'),
  ]
}

type Logins = HostCredentials['logins']

/**
 * The logins for a registry, looked up by its exact name (CVE-2021-41092): a key may be a host, a host with scheme and /v1/ or /v2/, or a namespace
 * `host/path`, of which the longest comes first. DOCKER_AUTH_CONFIG comes before all files; in a file a helper named for the host comes before credsStore, which
 * comes before auths. A source that is broken, or whose helper fails, hides no login of the next; one with a login for the whole registry hides them all.
 */
export async function findLogins(host: string, environment: Environment, signal?: AbortSignal): Promise<HostCredentials> {
  const notes: string[] = []
  const logins: Logins[number][] = []
  const sources = [
    async () => fromAuths(authVariable(environment.DOCKER_AUTH_CONFIG ?? ''), 'DOCKER_AUTH_CONFIG', host),
    ...authFiles(environment).map((file) => () => findIn(file, { host, environment, notes, signal })),
  ]
  for (const find of sources) {
    try {
      logins.push(...(await find()))
    } catch (error) {
      if (!isTbuildError(error)) throw error
      notes.push(error.message)
    }
    if (logins.at(-1)?.namespace === '') break
  }
  return { logins, notes }
}

interface Wanted {
  readonly host: string
  readonly environment: Environment
  readonly notes: string[]
  readonly signal: AbortSignal | undefined
}

async function findIn(file: string, { host: given, environment, notes, signal }: Wanted): Promise<Logins> {
  const config = readConfig(file)
  if (config === undefined) return []
  const helper = helperOf(config, given)
  if (helper !== undefined) {
    try {
      const host = canonicalHost(given)
      const { askHelper } = await import('./credential-helper.ts')
      const login = await askHelper(helper, host === HUB ? HUB_SERVER : host, environment, signal)
      if (login !== undefined) return [{ namespace: '', login }]
      notes.push(`docker-credential-${helper} has none for ${host}`)
    } catch (error) {
      if (!isTbuildError(error)) throw error
      notes.push(error.message)
    }
  }
  return fromAuths(config.auths, config.file, given)
}

function readConfig(file: string): ConfigFile | undefined {
  const json = readDockerConfig(file)
  if (json === undefined) return undefined
  const members = entriesOf(json)
  const credsStore = members.get('credsStore')
  return {
    file,
    auths: entriesOf(members.get('auths')),
    credHelpers: entriesOf(members.get('credHelpers')),
    credsStore: typeof credsStore === 'string' && credsStore !== '' ? credsStore : undefined,
  }
}

/** A Map: a key such as `__proto__` is only a key. */
function entriesOf(value: unknown): Map<string, unknown> {
  return new Map(value !== null && typeof value === 'object' ? Object.entries(value) : [])
}

function canonicalHost(host: string): string {
  const lower = host.toLowerCase()
  return lower === 'index.docker.io' || lower === 'registry-1.docker.io' ? HUB : lower
}

/** `https://index.docker.io/v1/` → host docker.io, no namespace. */
function splitKey(key: string): { host: string; namespace: string } {
  const bare = key.replace(/^https?:\/\//, '')
  const slash = bare.indexOf('/')
  const host = canonicalHost(slash < 0 ? bare : bare.slice(0, slash))
  const rest = slash < 0 ? '' : bare.slice(slash + 1).replace(/\/+$/, '')
  const isApi = bare !== key || /^v[12]$/.test(rest)
  return { host, namespace: isApi ? '' : rest }
}

function helperOf(config: ConfigFile, given: string): string | undefined {
  const host = canonicalHost(given)
  const own = [...config.credHelpers].find(([key]) => splitKey(key).host === host)?.[1]
  return typeof own === 'string' && own !== '' ? own : config.credsStore
}

/** Those of longer namespaces first. */
function fromAuths(auths: ReadonlyMap<string, unknown>, file: string, given: string): Logins {
  const host = canonicalHost(given)
  return [...auths]
    .map(([key, value]) => ({ key, value, ...splitKey(key) }))
    .filter((entry) => entry.host === host)
    .sort((a, b) => b.namespace.length - a.namespace.length)
    .flatMap(({ key, value, namespace }) => {
      const login = decodeEntry(value, `${file} (${key})`)
      return login === undefined ? [] : [{ namespace, login }]
    })
}

function decodeEntry(value: unknown, source: string): Credentials | undefined {
  const entry = entriesOf(value)
  const text = (name: string) => (typeof entry.get(name) === 'string' ? (entry.get(name) as string) : '')
  if (text('identitytoken') !== '') return { identityToken: text('identitytoken'), source }
  const decoded = Buffer.from(text('auth'), 'base64').toString('utf8')
  const colon = decoded.indexOf(':')
  const username = colon < 0 ? text('username') : decoded.slice(0, colon)
  // Docker pads with NUL what it once wrote.
  const password = colon < 0 ? text('password') : decoded.slice(colon + 1).replace(/\0+$/, '')
  return username === '' && password === '' ? undefined : { username, password, source }
}

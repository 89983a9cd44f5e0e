import { type Digest, digestLike, digestProblem, parseDigest, sha256 } from '../../base/digest.ts'
import { TbuildError } from '../../base/errors.ts'
import { readCapped } from '../../base/read-capped.ts'
import { SharedWork } from '../../base/shared-work.ts'
import type { Caller } from '../../caller/caller.ts'
import { discard } from '../../http/body.ts'
import { isAt, redirectProblem, sameOrigin } from '../../http/origin.ts'
import { DEFAULT_RETRY, ONCE, type RetryPolicy, withRetry } from '../../http/retry.ts'
import { type HttpRequest, type HttpResponse, Transport } from '../../http/transport.ts'
import type { Bytes } from '../../store/types.ts'
import { INDEX_TYPES, MANIFEST_LIMIT, MANIFEST_TYPES } from '../image/document.ts'
import type { PullRepository } from '../image/types.ts'
import { type Access, Authorizer } from './auth.ts'
import { mirrored } from './mirrored.ts'
import { type Endpoint, endpointOf, loadRegistriesConf, mirrorsOf, type RegistryEntry } from './registries-conf.ts'
import { badRedirect, statusError, unreachable } from './registry-error.ts'
import { resumedBlob } from './resumed-blob.ts'
import { findScheme } from './scheme.ts'

/** Whose registries.conf, proxies, certificates and logins count. */
export type RegistryCaller = Pick<Caller, 'environment' | 'credentials'>

export interface RegistryClientOptions {
  readonly caller: RegistryCaller
  /** registries.conf; read from the usual places when absent. */
  readonly registries?: readonly RegistryEntry[]
  readonly retry?: RetryPolicy
  /** Milliseconds without a byte. */
  readonly idleTimeout?: number
  readonly userAgent?: string
}

/** A request of one repository. `path` is below /v2/NAME/, or a URL that the registry named. A body is a function: it may be sent again. */
export interface RepositoryRequest {
  readonly method: HttpRequest['method']
  readonly path: string | URL
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: () => NonNullable<HttpRequest['body']>
  readonly signal?: AbortSignal | undefined
  /** Besides 2xx: statuses that the caller handles. */
  readonly accept?: readonly number[]
}

/** How a repository is used. */
export interface RepositoryUse {
  /** What tokens are asked for. */
  readonly actions?: 'pull' | 'pull,push'
  /** Another repository of the registry, to mount blobs from. */
  readonly mountFrom?: string
  /** TLS unverified, else none. */
  readonly insecure?: boolean | undefined
}

const ACCEPT_MANIFESTS = [...MANIFEST_TYPES, ...INDEX_TYPES].join(', ')
/** Servers that know no HEAD. */
const NO_HEAD = [405, 501]
/** What is answered to HEAD without a reason, since it has no body. */
const NO_REASON = [400, 403]
const REDIRECTS = 10
const REDIRECT_STATUS = new Set([301, 302, 303, 307, 308])

/** The connections, logins and tokens of one session. */
export class RegistryClient {
  readonly retry: RetryPolicy
  readonly transport: Transport
  readonly authorizer: Authorizer
  readonly #caller: RegistryCaller
  #registries: readonly RegistryEntry[] | undefined
  readonly #bases = new SharedWork<string, URL>()
  /** Hosts of mirrors. */
  readonly #unreachable = new Set<string>()

  constructor(options: RegistryClientOptions) {
    this.#caller = options.caller
    this.retry = options.retry ?? DEFAULT_RETRY
    this.#registries = options.registries
    this.transport = new Transport({
      environment: this.#caller.environment,
      ...(options.idleTimeout === undefined ? {} : { idleTimeout: options.idleTimeout }),
      ...(options.userAgent === undefined ? {} : { userAgent: options.userAgent }),
    })
    this.authorizer = new Authorizer(
      (request) => withRetry(this.retry, request.signal, () => this.transport.request(request)),
      this.#caller,
    )
  }

  repository(domain: string, path: string, use: RepositoryUse = {}): Repository {
    this.#registries ??= loadRegistriesConf(this.#caller.environment)
    return new Repository(this, endpointOf(domain, path, this.#registries, use.insecure), use)
  }

  /** For pulls, with its mirrors. */
  pullRepository(domain: string, path: string, byDigest: boolean): PullRepository {
    const primary = this.repository(domain, path)
    const mirrors = mirrorsOf(domain, path, byDigest, this.#registries ?? [])
    return mirrored(
      mirrors.map((endpoint) => new Repository(this, endpoint)),
      primary,
      this.#unreachable,
    )
  }

  /** http or https; of registries that may be either it is found out once. */
  baseUrl(endpoint: Endpoint, signal?: AbortSignal): Promise<URL> {
    if (endpoint.security === 'tls') return Promise.resolve(new URL(`https://${endpoint.host}`))
    return this.#bases.of(endpoint.host, () => findScheme(endpoint, this.transport, signal), signal)
  }

  close(): Promise<void> {
    return this.transport.close()
  }
}

interface Tried extends RepositoryRequest {
  readonly retry: RetryPolicy
}

/** One repository of a registry. All requests retry, authenticate and follow redirects by the rules of origin.ts. */
export class Repository {
  readonly endpoint: Endpoint
  readonly #client: RegistryClient
  readonly #access: Access
  readonly #verb: 'pull' | 'push'

  constructor(client: RegistryClient, endpoint: Endpoint, { actions = 'pull', mountFrom }: RepositoryUse = {}) {
    this.#client = client
    this.endpoint = endpoint
    this.#verb = actions === 'pull' ? 'pull' : 'push'
    const scopes = [`repository:${endpoint.path}:${actions}`, ...(mountFrom === undefined ? [] : [`repository:${mountFrom}:pull`])]
    this.#access = { domain: endpoint.host, path: endpoint.path, scopes, unverified: endpoint.security !== 'tls' }
  }

  /** For messages. */
  get name(): string {
    return `${this.endpoint.host}/${this.endpoint.path}`
  }

  get retry(): RetryPolicy {
    return this.#client.retry
  }

  /** The digest that a tag has now, by one HEAD; undefined when that does not say it: GET may, or says why not. */
  async resolveTag(tag: string, signal?: AbortSignal): Promise<Digest | undefined> {
    const response = await this.send({
      method: 'HEAD',
      path: `manifests/${tag}`,
      headers: { accept: ACCEPT_MANIFESTS },
      signal,
      accept: [...NO_HEAD, ...NO_REASON],
    })
    discard(response, 'HEAD')
    const header = response.header('docker-content-digest')
    return response.status >= 400 || header === undefined ? undefined : parseDigest(header)
  }

  /** True when a tag or digest names exactly this document. False also where the registry does not say, or does not answer: who goes on finds out why. */
  async names(identifier: string, digest: Digest, signal?: AbortSignal): Promise<boolean> {
    const request: RepositoryRequest = { method: 'HEAD', path: `manifests/${identifier}`, headers: { accept: ACCEPT_MANIFESTS }, signal }
    try {
      const response = await this.exchange(request, ONCE)
      discard(response, 'HEAD')
      return response.status < 300 && response.header('docker-content-digest') === digest
    } catch {
      signal?.throwIfAborted()
      return false
    }
  }

  /** A manifest or index, at most MANIFEST_LIMIT bytes, its digest computed and compared. */
  async manifest(identifier: string, signal?: AbortSignal): Promise<{ bytes: Buffer; digest: Digest; contentType: string | undefined }> {
    const what = `${this.name}: manifest ${identifier}`
    const response = await this.send({ method: 'GET', path: `manifests/${identifier}`, headers: { accept: ACCEPT_MANIFESTS }, signal })
    const bytes = await readCapped(response.body, MANIFEST_LIMIT).catch((error: unknown) => {
      throw unreachable(what, response.url, error, { signal })
    })
    if (bytes === undefined) {
      throw new TbuildError('MANIFEST_INVALID', `${what}: more than ${MANIFEST_LIMIT} bytes`, {
        hint: 'no image has such a manifest: ask its publisher',
      })
    }
    const digest = sha256(bytes)
    const expected = [identifier.includes(':') ? identifier : undefined, response.header('docker-content-digest')]
    for (const other of expected) {
      if (other === undefined) continue
      const found = digestProblem(other) === undefined ? digestLike(other, bytes) : digest
      if (other !== found) throw digestMismatch(what, other, found)
    }
    return { bytes, digest, contentType: response.header('content-type') }
  }

  /** A blob from its beginning; a connection that breaks is taken up again where it broke. The caller verifies. */
  async blob(digest: Digest, signal?: AbortSignal): Promise<Bytes> {
    const open = async (offset: number) =>
      this.send({ method: 'GET', path: `blobs/${digest}`, headers: offset === 0 ? {} : { range: `bytes=${offset}-` }, signal })
    return resumedBlob(await open(0), open, this.#client.retry, `${this.name}: blob ${digest}`, signal)
  }

  /** False also where the registry does not say: the blob is sent then. */
  async hasBlob(digest: Digest, signal?: AbortSignal): Promise<boolean> {
    const response = await this.send({ method: 'HEAD', path: `blobs/${digest}`, signal, accept: [404, ...NO_HEAD] })
    discard(response, 'HEAD')
    return response.status < 400
  }

  /** An answer of 2xx or an accepted status, after some tries; anything else is thrown as a coded error. */
  async send(request: RepositoryRequest): Promise<HttpResponse> {
    try {
      return await this.check(request, await this.exchange(request, this.retry))
    } catch (error) {
      throw await this.unanswered(request, error)
    }
  }

  /** What the registry answers, with the login that it wants; rejects with Node's error when it does not. */
  async exchange(request: RepositoryRequest, retry: RetryPolicy): Promise<HttpResponse> {
    const base = await this.#client.baseUrl(this.endpoint, request.signal)
    return this.#follow({ ...request, retry }, this.#url(request, base), base)
  }

  /** REGISTRY_UNREACHABLE for an error of Node's. */
  async unanswered(request: RepositoryRequest, error: unknown): Promise<unknown> {
    const url = this.#url(request, await this.#client.baseUrl(this.endpoint, request.signal))
    return unreachable(`${this.#what(request)}: ${this.#verb}`, url, error, { signal: request.signal })
  }

  #url({ path }: RepositoryRequest, base: URL): URL {
    return path instanceof URL ? path : new URL(`/v2/${this.endpoint.path}/${path}`, base)
  }

  async check(request: RepositoryRequest, response: HttpResponse): Promise<HttpResponse> {
    if ((response.status >= 200 && response.status < 300) || request.accept?.includes(response.status)) return response
    const credentials = this.#client.authorizer.describe(this.#access)
    throw await statusError({ what: this.#what(request), verb: this.#verb, registry: this.endpoint.host, credentials }, response)
  }

  /** The image with its tag or digest, or the repository with the blob. */
  #what({ path }: RepositoryRequest): string {
    const [, kind, name = ''] = /^(manifests|blobs)\/([^/]+)$/.exec(typeof path === 'string' ? path : '') ?? []
    if (kind === 'blobs') return `${this.name}: blob ${name}`
    return kind === undefined ? this.name : `${this.name}${name.includes(':') ? '@' : ':'}${name}`
  }

  async #follow(request: Tried, first: URL, base: URL): Promise<HttpResponse> {
    const what = `${this.#what(request)}: ${this.#verb}`
    const follows = request.method === 'GET' || request.method === 'HEAD'
    let url = first
    for (let hop = 0; hop <= REDIRECTS; hop++) {
      const response = await this.#authorized(request, url, base)
      const location = response.header('location')
      if (!follows || !REDIRECT_STATUS.has(response.status) || location === undefined) return response
      discard(response, request.method)
      const next = resolveLocation(location, url)
      const problem = next === undefined ? 'it is not a URL' : redirectProblem(url, next)
      if (next === undefined || problem !== undefined) throw badRedirect(what, url, location, problem ?? '')
      url = next
    }
    throw badRedirect(what, first, url.href, `more than ${REDIRECTS} redirects`)
  }

  /** Credentials go to the registry's own origin only, and only its challenges are answered (GHSA-vh4v-2xq2-g5cg). */
  async #authorized(request: Tried, url: URL, base: URL): Promise<HttpResponse> {
    const { authorizer } = this.#client
    if (!sameOrigin(url, base)) return this.#retried(request, url, undefined)
    let header = authorizer.known(url, this.#access)
    // Twice: a token that has run out is replaced, and the new one may be refused.
    for (let attempt = 0; ; attempt++) {
      const response = await this.#retried(request, url, header)
      if (response.status !== 401 || attempt === 2) return response
      const answer = await authorizer.answer(response, this.#access, header, request.signal).catch((error: unknown) => {
        // An answer that nobody reads holds its connection.
        response.body.destroy()
        throw error
      })
      if (answer === undefined) return response
      discard(response, request.method)
      header = answer
    }
  }

  #retried(request: Tried, url: URL, authorization: string | undefined): Promise<HttpResponse> {
    const { method, signal, retry, body } = request
    const headers = { ...request.headers, ...(authorization === undefined ? {} : { authorization }) }
    const unverified = this.#access.unverified && isAt(url, this.endpoint.host)
    return withRetry(retry, signal, () =>
      this.#client.transport.request({ method, url, headers, signal, unverified, ...(body === undefined ? {} : { body: body() }) }),
    )
  }
}

export function resolveLocation(location: string, from: URL): URL | undefined {
  try {
    return new URL(location, from)
  } catch {
    return undefined
  }
}

export function digestMismatch(what: string, expected: string, found: string): TbuildError {
  return new TbuildError('DIGEST_MISMATCH', `${what}: digest mismatch: expected ${expected.slice(0, 100)}, got ${found}`, {
    hint: 'the content was damaged on its way or is not what it claims to be; nothing of it was kept',
  })
}

import { type Digest, digestLike, digestProblem, parseDigest, sha256 } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import { readCapped } from '../base/read-capped.ts'
import type { Bytes } from '../store/types.ts'
import { type Access, Authorizer } from './auth.ts'
import { discard } from './body.ts'
import { INDEX_TYPES, MANIFEST_LIMIT, MANIFEST_TYPES } from './document.ts'
import { mirrored } from './mirrored.ts'
import { redirectProblem, sameOrigin } from './origin.ts'
import type { Environment } from './proxy.ts'
import { type Endpoint, endpointOf, loadRegistriesConf, mirrorsOf, type RegistryEntry } from './registries-conf.ts'
import { badRedirect, statusError, unreachable } from './registry-error.ts'
import { resumedBlob } from './resumed-blob.ts'
import { DEFAULT_RETRY, type RetryPolicy, withRetry } from './retry.ts'
import { type HttpRequest, type HttpResponse, Transport } from './transport.ts'
import type { PullRepository } from './types.ts'

export interface RegistryClientOptions {
  /** For proxies, logins and certificates; process.env when absent. */
  readonly environment?: Environment
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

const ACCEPT_MANIFESTS = [...MANIFEST_TYPES, ...INDEX_TYPES].join(', ')
const REDIRECTS = 10
const REDIRECT_STATUS = new Set([301, 302, 303, 307, 308])

/** The connections, logins and tokens of one process. */
export class RegistryClient {
  readonly environment: Environment
  readonly retry: RetryPolicy
  readonly transport: Transport
  readonly authorizer: Authorizer
  #registries: readonly RegistryEntry[] | undefined
  readonly #insecure = new Set<string>()
  readonly #bases = new Map<string, Promise<URL>>()
  /** Hosts of mirrors. */
  readonly #unreachable = new Set<string>()

  constructor(options: RegistryClientOptions = {}) {
    this.environment = options.environment ?? process.env
    this.retry = options.retry ?? DEFAULT_RETRY
    this.#registries = options.registries
    this.transport = new Transport({
      environment: this.environment,
      isInsecure: (host) => this.#insecure.has(host),
      ...(options.idleTimeout === undefined ? {} : { idleTimeout: options.idleTimeout }),
      ...(options.userAgent === undefined ? {} : { userAgent: options.userAgent }),
    })
    this.authorizer = new Authorizer(
      (request) =>
        withRetry(this.retry, request.signal, () => this.transport.request(request)).catch((error: unknown) => {
          throw unreachable('token', request.url, error)
        }),
      this.environment,
    )
  }

  /** `actions` is what tokens are asked for: pull, or pull,push. */
  repository(domain: string, path: string, actions: 'pull' | 'pull,push' = 'pull', mountFrom?: string): Repository {
    this.#registries ??= loadRegistriesConf(this.environment)
    return new Repository(this, endpointOf(domain, path, this.#registries), actions, mountFrom)
  }

  /** For pulls, with its mirrors. */
  pullRepository(domain: string, path: string, byDigest: boolean): PullRepository {
    const primary = this.repository(domain, path)
    const mirrors = mirrorsOf(domain, path, byDigest, this.#registries ?? [])
    return mirrored(
      mirrors.map((endpoint) => new Repository(this, endpoint, 'pull')),
      primary,
      this.#unreachable,
    )
  }

  /** http or https; an insecure registry is tried with unverified TLS first, once a process. */
  baseUrl(endpoint: Endpoint): Promise<URL> {
    if (endpoint.security !== 'either')
      return Promise.resolve(new URL(`${endpoint.security === 'tls' ? 'https' : 'http'}://${endpoint.host}`))
    const known = this.#bases.get(endpoint.host) ?? this.#probe(endpoint)
    this.#bases.set(endpoint.host, known)
    return known
  }

  async #probe(endpoint: Endpoint): Promise<URL> {
    this.#insecure.add(endpoint.host)
    const url = new URL(`https://${endpoint.host}`)
    try {
      const response = await this.transport.request({ method: 'GET', url: new URL('/v2/', url) })
      response.body.destroy()
      return url
    } catch {
      return new URL(`http://${endpoint.host}`)
    }
  }

  close(): Promise<void> {
    return this.transport.close()
  }
}

/** One repository of a registry. All requests retry, authenticate and follow redirects by the rules of origin.ts. */
export class Repository {
  readonly endpoint: Endpoint
  readonly #client: RegistryClient
  readonly #access: Access

  constructor(client: RegistryClient, endpoint: Endpoint, actions: string, mountFrom?: string) {
    this.#client = client
    this.endpoint = endpoint
    const scopes = [`repository:${endpoint.path}:${actions}`, ...(mountFrom === undefined ? [] : [`repository:${mountFrom}:pull`])]
    this.#access = { domain: endpoint.host, path: endpoint.path, scopes }
  }

  /** For messages. */
  get name(): string {
    return `${this.endpoint.host}/${this.endpoint.path}`
  }

  /** The digest that a tag has now, by one HEAD; undefined when the registry does not say it. */
  async resolveTag(tag: string, signal?: AbortSignal): Promise<Digest | undefined> {
    const response = await this.send({
      method: 'HEAD',
      path: `manifests/${tag}`,
      headers: { accept: ACCEPT_MANIFESTS },
      signal,
      accept: [405],
    })
    discard(response, 'HEAD')
    const header = response.header('docker-content-digest')
    if (response.status === 405 || header === undefined) return undefined
    return parseDigest(header)
  }

  /** A manifest or index, at most MANIFEST_LIMIT bytes, its digest computed and compared. */
  async manifest(identifier: string, signal?: AbortSignal): Promise<{ bytes: Buffer; digest: Digest; contentType: string | undefined }> {
    const what = `${this.name}: manifest ${identifier}`
    const response = await this.send({ method: 'GET', path: `manifests/${identifier}`, headers: { accept: ACCEPT_MANIFESTS }, signal })
    const bytes = await readCapped(response.body, MANIFEST_LIMIT).catch((error: unknown) => {
      throw unreachable(what, response.url, error)
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

  async hasBlob(digest: Digest, signal?: AbortSignal): Promise<boolean> {
    const response = await this.send({ method: 'HEAD', path: `blobs/${digest}`, signal, accept: [404] })
    discard(response, 'HEAD')
    return response.status !== 404
  }

  /** An answer of 2xx or an accepted status; anything else is thrown as a coded error. */
  async send(request: RepositoryRequest): Promise<HttpResponse> {
    const base = await this.#client.baseUrl(this.endpoint)
    const url = request.path instanceof URL ? request.path : new URL(`/v2/${this.endpoint.path}/${request.path}`, base)
    const what = `${this.name}: ${request.method === 'GET' || request.method === 'HEAD' ? 'pull' : 'push'}`
    let response: HttpResponse
    try {
      response = await this.#follow(request, url, base, what)
    } catch (error) {
      throw unreachable(what, url, error)
    }
    if ((response.status >= 200 && response.status < 300) || request.accept?.includes(response.status)) return response
    throw await statusError(what, response, this.#client.authorizer.describe(this.#access))
  }

  async #follow(request: RepositoryRequest, first: URL, base: URL, what: string): Promise<HttpResponse> {
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
  async #authorized(request: RepositoryRequest, url: URL, base: URL): Promise<HttpResponse> {
    const { authorizer } = this.#client
    if (!sameOrigin(url, base)) return this.#retried(request, url, undefined)
    let header = authorizer.known(url, this.#access)
    // Twice: a token that has run out is replaced, and the new one may be refused.
    for (let attempt = 0; ; attempt++) {
      const response = await this.#retried(request, url, header)
      if (response.status !== 401 || attempt === 2) return response
      const answer = await authorizer.answer(response, this.#access, request.signal)
      if (answer === undefined) return response
      discard(response, request.method)
      header = answer
    }
  }

  #retried(request: RepositoryRequest, url: URL, authorization: string | undefined): Promise<HttpResponse> {
    const { method, signal } = request
    const headers = { ...request.headers, ...(authorization === undefined ? {} : { authorization }) }
    return withRetry(this.#client.retry, signal, () =>
      this.#client.transport.request({ method, url, headers, signal, ...(request.body === undefined ? {} : { body: request.body() }) }),
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

import { isTbuildError, TbuildError } from '../base/errors.ts'
import { readCapped } from '../base/read-capped.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import type { Credentials } from './credentials.ts'
import { findCredentials } from './docker-config.ts'
import { realmProblem } from './origin.ts'
import type { Environment } from './proxy.ts'
import { printable, redactUrl } from './redact.ts'
import { SMALL_BODY } from './registry-error.ts'
import type { HttpRequest, HttpResponse } from './transport.ts'

/** What a request is allowed to do, as the token server calls it: `repository:library/debian:pull`. */
export interface Access {
  /** Whose credentials: docker.io, 127.0.0.1:5000. */
  readonly domain: string
  readonly path: string
  readonly scopes: readonly string[]
}

type Send = (request: HttpRequest) => Promise<HttpResponse>

interface Token {
  readonly header: string
  readonly expires: number
}

/** Answers challenges and remembers, in this process, what each origin and scope wants. */
export class Authorizer {
  readonly #send: Send
  readonly #environment: Environment
  readonly #tokens = new Map<string, Token>()
  readonly #pending = new Map<string, Promise<Token>>()
  readonly #credentials = new Map<string, Promise<Credentials | undefined>>()
  readonly #problems = new Map<string, string>()
  /** Whose login was used or tried, for messages. */
  readonly #used = new Map<string, string>()

  constructor(send: Send, environment: Environment) {
    this.#send = send
    this.#environment = environment
  }

  /** The Authorization header that this origin took before, when it is still good. */
  known(url: URL, access: Access): string | undefined {
    const token = this.#tokens.get(keyOf(url, access))
    return token !== undefined && token.expires > Date.now() ? token.header : undefined
  }

  /** The header that answers a 401 of `response.url`, or undefined when there is nothing (more) to offer. */
  async answer(response: HttpResponse, access: Access, signal?: AbortSignal): Promise<string | undefined> {
    const key = keyOf(response.url, access)
    const refused = this.known(response.url, access)
    this.#tokens.delete(key)
    const challenges = parseChallenges(response.header('www-authenticate') ?? '')
    const bearer = challenges.find((challenge) => challenge.scheme === 'bearer')
    const token = bearer
      ? await this.#shared(key, () => this.#bearer(bearer, response.url, access, signal))
      : await this.#basic(challenges, access)
    // The same header again would be refused again: a Basic login that the registry did not take.
    if (token === undefined || token.header === refused) return undefined
    this.#tokens.set(key, token)
    return token.header
  }

  /** For messages: which credentials were used, by source. */
  describe(access: Access): string {
    const problem = this.#problems.get(loginKey(access))
    const used = this.#used.get(loginKey(access))
    if (problem !== undefined) return `no credentials (${problem})`
    return used === undefined ? 'no credentials' : `the credentials of ${used}`
  }

  #shared(key: string, make: () => Promise<Token>): Promise<Token> {
    const running = this.#pending.get(key) ?? make().finally(() => this.#pending.delete(key))
    this.#pending.set(key, running)
    return running
  }

  async #basic(challenges: readonly Challenge[], access: Access): Promise<Token | undefined> {
    const login = await this.#login(access)
    if (!challenges.some((challenge) => challenge.scheme === 'basic') || login === undefined || 'identityToken' in login) return undefined
    return { header: basicHeader(login.username, login.password), expires: Number.POSITIVE_INFINITY }
  }

  /** A helper that fails and a file that is broken are told about only when the registry then says no: most images are public. */
  #login(access: Access): Promise<Credentials | undefined> {
    const key = loginKey(access)
    const found =
      this.#credentials.get(key) ??
      findCredentials(access.domain, access.path, this.#environment).catch((error: unknown) => {
        if (!isTbuildError(error) || !UNREADABLE.includes(error.code)) throw error
        this.#problems.set(key, error.message)
        return undefined
      })
    this.#credentials.set(key, found)
    return found.then((login) => {
      if (login !== undefined) this.#used.set(key, login.source)
      return login
    })
  }

  async #bearer(challenge: Challenge, registry: URL, access: Access, signal?: AbortSignal): Promise<Token> {
    const realm = parseRealm(challenge.parameters.get('realm') ?? '', registry)
    const service = challenge.parameters.get('service')
    const request = tokenRequest(realm, service, access.scopes, await this.#login(access), signal)
    const response = await this.#send(request)
    // A redirect of the token server is not followed: it would carry a login to a place that no rule has seen.
    if (response.status !== 200) {
      response.body.destroy()
      throw new TbuildError(
        'REGISTRY_DENIED',
        `the token server ${realm.host} answered ${response.status}, with ${this.describe(access)}`,
        {
          hint: `log in again: \`docker login ${access.domain}\``,
        },
      )
    }
    return parseToken(await readCapped(response.body, SMALL_BODY), realm)
  }
}

const UNREADABLE: readonly string[] = ['CREDENTIAL_HELPER_FAILED', 'DOCKER_CONFIG_INVALID']

function keyOf(url: URL, access: Access): string {
  return [url.origin, access.domain, ...access.scopes].join(' ')
}

function loginKey(access: Access): string {
  return `${access.domain}/${access.path}`
}

function basicHeader(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

function parseRealm(text: string, registry: URL): URL {
  let realm: URL | undefined
  try {
    realm = new URL(text)
  } catch {
    // Reported below.
  }
  const problem = realm === undefined ? 'it is not a URL' : realmProblem(registry, realm)
  if (realm !== undefined && problem === undefined) return realm
  throw new TbuildError(
    'REGISTRY_REALM_REFUSED',
    `the registry ${registry.host} sends to the token server ${redactUrl(text)}, refused: ${problem}`,
    {
      hint: 'no credentials were sent; ask the owner of the registry',
    },
  )
}

/** distribution spec "token authentication": GET with an optional Basic login; POST with a refresh token (identitytoken). */
function tokenRequest(
  realm: URL,
  service: string | undefined,
  scopes: readonly string[],
  login: Credentials | undefined,
  signal?: AbortSignal,
): HttpRequest {
  if (login !== undefined && 'identityToken' in login) {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      client_id: 'tbuild',
      refresh_token: login.identityToken,
      scope: scopes.join(' '),
    })
    if (service !== undefined) form.set('service', service)
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    return { method: 'POST', url: realm, headers, body: Buffer.from(form.toString()), signal }
  }
  const url = new URL(realm)
  if (service !== undefined) url.searchParams.set('service', service)
  for (const scope of scopes) url.searchParams.append('scope', scope)
  return { method: 'GET', url, headers: login === undefined ? {} : { authorization: basicHeader(login.username, login.password) }, signal }
}

function parseToken(body: Buffer | undefined, realm: URL): Token {
  const invalid = (reason: string) =>
    new TbuildError('REGISTRY_DENIED', `the token server ${realm.host} sent no usable token: ${reason}`, {
      hint: 'try again, or log in again',
    })
  if (body === undefined) throw invalid(`more than ${SMALL_BODY} bytes`)
  let answer: { token?: unknown; access_token?: unknown; expires_in?: unknown } | null
  try {
    answer = JSON.parse(body.toString('utf8'))
  } catch {
    throw invalid('not JSON')
  }
  const token = answer?.token || answer?.access_token
  // A token becomes a header: one line of visible ASCII.
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) throw invalid(printable(`the token is ${typeof token}`))
  const seconds = typeof answer?.expires_in === 'number' && answer.expires_in >= 60 ? answer.expires_in : 60
  // Ten seconds early: a token must still be good when it arrives.
  return { header: `Bearer ${token}`, expires: Date.now() + (seconds - 10) * 1000 }
}

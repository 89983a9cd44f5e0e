import { TbuildError } from '../../base/errors.ts'
import { readCapped } from '../../base/read-capped.ts'
import { SharedWork } from '../../base/shared-work.ts'
import type { Caller } from '../../caller/caller.ts'
import { type Credentials, type HostCredentials, loginFor } from '../../caller/credentials.ts'
import { SMALL_BODY } from '../../http/error-detail.ts'
import { isAt, realmProblem } from '../../http/origin.ts'
import { printable, redactUrl } from '../../http/redact.ts'
import type { HttpRequest, HttpResponse } from '../../http/transport.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import { tokenError, unreachable } from './registry-error.ts'

/** What a request is allowed to do, as the token server calls it: `repository:library/debian:pull`. */
export interface Access {
  /** Whose credentials: docker.io, 127.0.0.1:5000. */
  readonly domain: string
  readonly path: string
  readonly scopes: readonly string[]
  /** TLS of the registry's address is not verified, nor that of a token server there. */
  readonly unverified: boolean
}

type Send = (request: HttpRequest) => Promise<HttpResponse>

interface Token {
  readonly header: string
  readonly expires: number
}

/** Answers challenges and remembers, in this process, what each origin and scope wants. */
export class Authorizer {
  readonly #send: Send
  readonly #caller: Pick<Caller, 'credentials'>
  readonly #tokens = new Map<string, Token>()
  /** Token requests under way. */
  readonly #pending = new SharedWork<string, Token>()
  /** By the registry. */
  readonly #logins = new SharedWork<string, HostCredentials>()
  /** Those of `#logins` that are known by now, for messages. */
  readonly #found = new Map<string, HostCredentials>()

  constructor(send: Send, caller: Pick<Caller, 'credentials'>) {
    this.#send = send
    this.#caller = caller
  }

  /** The Authorization header that this origin took before, when it is still good. */
  known(url: URL, access: Access): string | undefined {
    const token = this.#tokens.get(keyOf(url, access))
    return token !== undefined && token.expires > Date.now() ? token.header : undefined
  }

  /**
   * The header that answers a 401 of `response.url`, or undefined when there is nothing (more) to offer. `sent` is what that very request had: others may
   * have been answered since, and then what they got is good for this one, too.
   */
  async answer(response: HttpResponse, access: Access, sent: string | undefined, signal?: AbortSignal): Promise<string | undefined> {
    const key = keyOf(response.url, access)
    const known = this.known(response.url, access)
    if (known !== undefined && known !== sent) return known
    const challenges = parseChallenges(response.header('www-authenticate') ?? '')
    const bearer = challenges.find((challenge) => challenge.scheme === 'bearer')
    const token = bearer
      ? await this.#shared(key, () => this.#bearer(bearer, response.url, access, signal), signal)
      : await this.#basic(challenges, access, signal)
    // The same header again would be refused again: a Basic login that the registry did not take.
    if (token === undefined || token.header === sent) {
      if (this.#tokens.get(key)?.header === sent) this.#tokens.delete(key)
      return undefined
    }
    this.#tokens.set(key, token)
    return token.header
  }

  /** For messages: which credentials were used, by source, and why not others. */
  describe(access: Access): string {
    const found = this.#found.get(access.domain)
    const login = found && loginFor(found, access.path)
    const notes = found?.notes ?? []
    const used = login === undefined ? 'no credentials' : `the credentials of ${login.source}`
    return notes.length === 0 ? used : `${used} (${notes.join('; ')})`
  }

  /** Requests that are refused at the same time share one token; those that are refused later get another. */
  #shared(key: string, make: () => Promise<Token>, signal: AbortSignal | undefined): Promise<Token> {
    return this.#pending.of(key, () => make().finally(() => this.#pending.forget(key)), signal)
  }

  async #basic(challenges: readonly Challenge[], access: Access, signal: AbortSignal | undefined): Promise<Token | undefined> {
    if (!challenges.some((challenge) => challenge.scheme === 'basic')) return undefined
    const login = await this.#login(access, signal)
    if (login === undefined || 'identityToken' in login) return undefined
    return { header: basicHeader(login.username, login.password), expires: Number.POSITIVE_INFINITY }
  }

  /** What is wrong with a helper or a file is told about only when the registry then says no: most images are public. */
  async #login(access: Access, signal: AbortSignal | undefined): Promise<Credentials | undefined> {
    const find = async () => {
      const credentials = await this.#caller.credentials(access.domain, signal)
      // A helper that ended with its caller has said nothing.
      signal?.throwIfAborted()
      return credentials
    }
    const found = await this.#logins.of(access.domain, find, signal)
    this.#found.set(access.domain, found)
    return loginFor(found, access.path)
  }

  async #bearer(challenge: Challenge, registry: URL, access: Access, signal?: AbortSignal): Promise<Token> {
    const realm = parseRealm(challenge.parameters.get('realm') ?? '', registry)
    const service = challenge.parameters.get('service')
    const scopes = [...access.scopes, ...moreScopes(challenge.parameters.get('scope') ?? '', access.scopes)]
    const login = await this.#login(access, signal)
    const asked = { realm, service, scopes, login }
    const what = `${access.domain}/${access.path}`
    const unverified = access.unverified && isAt(realm, access.domain)
    const send = (request: HttpRequest) =>
      this.#send({ ...request, unverified, signal }).catch((error: unknown) => {
        throw unreachable(`${what}: the token server`, realm, error, { signal })
      })
    let response = await send(tokenRequest(asked))
    if (response.status === 405 && login !== undefined && 'password' in login) {
      response.body.destroy()
      response = await send(passwordRequest(asked, login))
    }
    if (response.status === 200) return parseToken(await readCapped(response.body, SMALL_BODY), realm)
    throw await tokenError(realm, response, { what, registry: access.domain, credentials: this.describe(access) })
  }
}

/** What the registry wants besides: `repository:a:pull repository:b:push`. */
function moreScopes(wanted: string, scopes: readonly string[]): string[] {
  const split = (scope: string) => [scope.slice(0, scope.lastIndexOf(':')), scope.slice(scope.lastIndexOf(':') + 1).split(',')] as const
  const isAsked = (scope: string) => {
    const [of, actions] = split(scope)
    return scopes.map(split).some(([other, given]) => other === of && actions.every((action) => given.includes(action)))
  }
  return wanted.split(' ').filter((scope) => scope !== '' && !isAsked(scope))
}

function keyOf(url: URL, access: Access): string {
  return [url.origin, access.domain, ...access.scopes].join(' ')
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

interface TokenAsked {
  readonly realm: URL
  readonly service: string | undefined
  readonly scopes: readonly string[]
  readonly login: Credentials | undefined
}

/** distribution spec "token authentication": GET with an optional Basic login; POST with a refresh token (identitytoken). */
function tokenRequest(asked: TokenAsked): HttpRequest {
  const { realm, service, scopes, login } = asked
  if (login !== undefined && 'identityToken' in login)
    return formRequest(asked, { grant_type: 'refresh_token', refresh_token: login.identityToken })
  const url = new URL(realm)
  if (service !== undefined) url.searchParams.set('service', service)
  for (const scope of scopes) url.searchParams.append('scope', scope)
  return { method: 'GET', url, headers: login === undefined ? {} : { authorization: basicHeader(login.username, login.password) } }
}

/** OAuth2 of the same spec, for servers that know nothing else. */
function passwordRequest(asked: TokenAsked, { username, password }: { readonly username: string; readonly password: string }): HttpRequest {
  return formRequest(asked, { grant_type: 'password', username, password })
}

function formRequest({ realm, service, scopes }: TokenAsked, grant: Readonly<Record<string, string>>): HttpRequest {
  const form = new URLSearchParams({ ...grant, client_id: 'tbuild', scope: scopes.join(' ') })
  if (service !== undefined) form.set('service', service)
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  return { method: 'POST', url: realm, headers, body: Buffer.from(form.toString()) }
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

import { errorCode, isTbuildError, TbuildError } from '../../base/errors.ts'
import { httpFailure, tlsFailure } from '../../http/connection-failure.ts'
import { errorDetail } from '../../http/error-detail.ts'
import { isAt } from '../../http/origin.ts'
import { printable, redactUrl } from '../../http/redact.ts'
import type { HttpResponse } from '../../http/transport.ts'

const REASONS: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name cannot be resolved now',
  ECONNRESET: 'the connection was broken',
  EPIPE: 'the connection was broken',
  ETIMEDOUT: 'timed out',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'the network is unreachable',
}

/**
 * No answer: REGISTRY_UNREACHABLE, or `code`, with TLS trouble told apart. Errors of ours and aborts pass as they are: a connection that `signal` has
 * cut is no trouble of the network, whatever it looks like.
 */
export function unreachable(
  what: string,
  url: URL,
  error: unknown,
  { signal, code = 'REGISTRY_UNREACHABLE' }: { readonly signal?: AbortSignal | undefined; readonly code?: string } = {},
): unknown {
  if (isTbuildError(error) || (error as { name?: string }).name === 'AbortError') return error
  if (signal?.aborted) return signal.reason
  const isUrl = code === 'URL_UNREACHABLE'
  const trouble = url.protocol === 'https:' ? tlsFailure(url.host, error, isUrl) : httpFailure(error)
  const reason = trouble?.reason ?? REASONS[errorCode(error) ?? ''] ?? printable((error as Error).message)
  return new TbuildError(code, `${what}: cannot reach ${url.host}: ${reason}`, {
    hint: trouble?.hint ?? 'check the name, the network and HTTPS_PROXY',
    cause: error,
  })
}

/** Of REGISTRY_UNREACHABLE: the network's error and no status is behind it. */
export function isUnanswered(error: TbuildError): boolean {
  return error.code === 'REGISTRY_UNREACHABLE' && error.cause !== undefined
}

/** What was asked, for messages. */
export interface Asked {
  /** The image, with its tag or digest, or the blob. */
  readonly what: string
  readonly verb: 'pull' | 'push'
  /** host[:port] of the API. */
  readonly registry: string
  /** By source which were sent, never their value. */
  readonly credentials: string
}

/** REGISTRY_UNREACHABLE is what may be otherwise later, REGISTRY_REFUSED what stays. */
export async function statusError(asked: Asked, response: HttpResponse): Promise<TbuildError> {
  const { what, verb, registry, credentials } = asked
  const { status } = response
  const isMissing = status === 404 && verb === 'pull'
  const { code, text } = await errorDetail(response, !isMissing)
  const to = status < 400 ? response.header('location') : undefined
  const where = `${response.url.host} answered ${status}${to === undefined ? '' : `, a redirect to ${redactUrl(to)}`}${text === '' ? '' : `: ${text}`}`
  if (isMissing) {
    const hint = code === 'NAME_UNKNOWN' ? 'check the name: the registry has no such repository' : 'check the name and the tag or digest'
    return new TbuildError('IMAGE_NOT_FOUND', `${what}: pull: not found (${where})`, { hint })
  }
  if (status === 401 || status === 403) {
    const hint = isAt(response.url, registry) ? deniedHint(verb, registry) : ELSEWHERE
    return new TbuildError('REGISTRY_DENIED', `${what}: ${verb}: access denied (${where}), with ${credentials}`, { hint })
  }
  const later = isTransient(status)
  const hint = later ? laterHint(status) : refusedHint(status, verb)
  return new TbuildError(later ? 'REGISTRY_UNREACHABLE' : 'REGISTRY_REFUSED', `${what}: ${verb}: ${where}`, { hint })
}

/** A token server that gives no token. */
export async function tokenError(realm: URL, response: HttpResponse, asked: Omit<Asked, 'verb'>): Promise<TbuildError> {
  const { text } = await errorDetail(response, true)
  const { status } = response
  const where = `${asked.what}: the token server ${realm.host} answered ${status}${text === '' ? '' : `: ${text}`}`
  if (isTransient(status)) return new TbuildError('REGISTRY_UNREACHABLE', where, { hint: laterHint(status) })
  // A redirect of the token server is not followed: it would carry a login to a place that no rule has seen.
  const login = status === 401 || status === 403 || (status === 400 && !asked.credentials.startsWith('no '))
  return new TbuildError('REGISTRY_DENIED', `${where}, with ${asked.credentials}`, {
    hint: login ? `log in again: \`${loginCommand(asked.registry)}\`` : 'ask the owner of the registry',
  })
}

const ELSEWHERE = 'the registry sent the request there, with an address that may have run out: try again, or ask its owner'

function isTransient(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && ![501, 505, 507].includes(status))
}

function laterHint(status: number): string {
  return status === 429 ? 'wait, or log in for a higher limit' : 'try again later'
}

function deniedHint(verb: Asked['verb'], registry: string): string {
  const login = `run \`${loginCommand(registry)}\` and try again`
  if (verb === 'push') return `the login may not push there, or is missing: ${login}`
  return `the image may not exist, or needs a login: ${login}`
}

/** Docker Hub is what docker logs in to by default. */
function loginCommand(registry: string): string {
  return registry === 'registry-1.docker.io' ? 'docker login' : `docker login ${registry}`
}

function refusedHint(status: number, verb: Asked['verb']): string {
  if (status === 404) return 'check the name: the registry may want the repository to be made before it is pushed to'
  if (status === 413) return 'a proxy before the registry limits the size of a request: raise its limit (nginx: client_max_body_size)'
  if (status === 415) return 'the registry does not take this type: `oci-mediatypes=false` on the output writes those of Docker'
  if (status === 507) return 'the registry has no room left: ask its owner'
  if (status < 400) return 'name the registry by the address that it redirects to'
  if (status === 405 || status === 501) {
    return verb === 'push' ? 'the registry takes no push there: ask its owner' : 'check the name: is it a registry?'
  }
  return 'mend what the registry names, or ask its owner: another try will end the same'
}

export function badRedirect(what: string, from: URL, to: string, problem: string): TbuildError {
  return new TbuildError('REGISTRY_REDIRECT_REFUSED', `${what}: ${from.host} redirects to ${redactUrl(to)}, refused: ${problem}`, {
    hint: 'ask the owner of the registry; tbuild follows redirects only where they are safe',
  })
}

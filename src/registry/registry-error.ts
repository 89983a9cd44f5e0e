import { errorCode, isTbuildError, TbuildError } from '../base/errors.ts'
import { readCapped } from '../base/read-capped.ts'
import { printable, redactUrl } from './redact.ts'
import type { HttpResponse } from './transport.ts'

/** Bytes of an error or token body that are read. */
export const SMALL_BODY = 64 * 1024

const REASONS: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name cannot be resolved now',
  ECONNRESET: 'the connection was broken',
  ETIMEDOUT: 'timed out',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'the network is unreachable',
}

/** No answer: REGISTRY_UNREACHABLE (or the code given), with TLS trouble told apart. Errors of ours and aborts pass as they are. */
export function unreachable(what: string, url: URL, error: unknown, ours = 'REGISTRY_UNREACHABLE'): unknown {
  if (isTbuildError(error) || (error as { name?: string }).name === 'AbortError') return error
  const code = errorCode(error) ?? ''
  const reason = REASONS[code] ?? printable((error as Error).message)
  const tls = /CERT|SIGNATURE|SSL|TLS|EPROTO/.test(code)
  return new TbuildError(ours, `${what}: cannot reach ${url.host}: ${reason}`, {
    hint: tls
      ? `put the registry's authority into /etc/docker/certs.d/${url.host}/ca.crt, or mark the registry insecure in registries.conf`
      : 'check the name, the network and HTTPS_PROXY',
    cause: error,
  })
}

/** Of REGISTRY_UNREACHABLE: the network's error and no status is behind it. */
export function isUnanswered(error: TbuildError): boolean {
  return error.code === 'REGISTRY_UNREACHABLE' && error.cause !== undefined
}

/** `credentials` says by source which were sent, never their value. */
export async function statusError(what: string, response: HttpResponse, credentials: string): Promise<TbuildError> {
  const detail = await errorDetail(response)
  const { status } = response
  const where = `${response.url.host} answered ${status}${detail === '' ? '' : `: ${detail}`}`
  if (status === 404) {
    return new TbuildError('IMAGE_NOT_FOUND', `${what}: not found (${where})`, { hint: 'check the name and the tag' })
  }
  if (status === 401 || status === 403) {
    return new TbuildError('REGISTRY_DENIED', `${what}: access denied (${where}), with ${credentials}`, {
      hint: `the image may not exist, or needs a login: run \`docker login ${response.url.host}\` and try again`,
    })
  }
  const hint = status === 429 ? 'wait, or log in for a higher limit' : 'try again later'
  return new TbuildError('REGISTRY_UNREACHABLE', `${what}: ${where}`, { hint })
}

/** The messages of the distribution spec's error body, or nothing. */
async function errorDetail(response: HttpResponse): Promise<string> {
  try {
    const body = await readCapped(response.body, SMALL_BODY)
    if (body === undefined) return ''
    const { errors } = JSON.parse(body.toString('utf8')) as { errors?: { code?: unknown; message?: unknown }[] }
    if (!Array.isArray(errors)) return ''
    const texts = errors.slice(0, 3).map((error) => [error?.code, error?.message].filter((part) => typeof part === 'string').join(': '))
    return printable(texts.filter(Boolean).join('; '))
  } catch {
    // HTML or nothing: the status says enough.
    return ''
  }
}

export function badRedirect(what: string, from: URL, to: string, problem: string): TbuildError {
  return new TbuildError('REGISTRY_REDIRECT_REFUSED', `${what}: ${from.host} redirects to ${redactUrl(to)}, refused: ${problem}`, {
    hint: 'ask the owner of the registry; tbuild follows redirects only where they are safe',
  })
}

import { countBytes } from '../../base/count-bytes.ts'
import type { Digest } from '../../base/digest.ts'
import { TbuildError } from '../../base/errors.ts'
import { splitLogin } from '../../base/mask-url.ts'
import { discard } from '../../http/body.ts'
import { kindOfHost, sameOrigin } from '../../http/origin.ts'
import { redactUrl } from '../../http/redact.ts'
import { DEFAULT_RETRY, type RetryPolicy, withRetry } from '../../http/retry.ts'
import type { HttpResponse, Transport } from '../../http/transport.ts'
import type { BlobStore, Bytes } from '../../store/types.ts'
import { limitHint } from '../../values/limits.ts'
import { digestMismatch, resolveLocation } from '../registry/client.ts'
import { unreachable } from '../registry/registry-error.ts'

/** A file of the web as ADD takes it (F30, F31). */
export interface FetchedFile {
  readonly digest: Digest
  readonly size: number
  /** Seconds since the epoch of Last-Modified; undefined stands for 0 as the file's mtime. */
  readonly lastModified?: number
  readonly etag?: string
}

/** What earlier builds fetched, by URL without fragment. */
export interface FetchCache {
  get(url: string): Promise<FetchedFile | undefined>
  set(url: string, file: FetchedFile): Promise<void>
}

export interface HttpFetchOptions {
  readonly blobs: BlobStore
  /** With the proxies and authorities of the caller. */
  readonly transport: Transport
  readonly retry?: RetryPolicy
  readonly cache?: FetchCache
  /** Bytes; more is refused. Unlimited when absent. */
  readonly limit?: number
  /** `--checksum`: content that an earlier build fetched from the URL is not asked for again. */
  readonly checksum?: Digest
  /** The value of an Authorization header (secret HTTP_AUTH_*), for the URL's own origin only. */
  readonly authorization?: string
  /** The same of the URL's user information, where there is no secret: as Go's client has it, for the first request only. */
  readonly login?: string
  readonly signal?: AbortSignal
  /** Bytes; `total` where the server says it. A promise is waited for. */
  readonly onProgress?: (current: number, total: number | undefined, done: boolean) => unknown
}

const REDIRECTS = 10
const REDIRECT_STATUS = new Set([301, 302, 303, 307, 308])

/** Gets a URL into the blob store. An ETag of an earlier build is asked for with HEAD first: unchanged means no body. */
export async function fetchUrl(text: string, options: HttpFetchOptions): Promise<FetchedFile> {
  const url = parseSourceUrl(text)
  const fetcher = new Fetcher(options, url)
  const known = await options.cache?.get(url.href)
  // Pinned content cannot change: nothing is asked.
  if (known !== undefined && known.digest === options.checksum && (await options.blobs.stat(known.digest))) return known
  const unchanged = known === undefined ? undefined : await fetcher.revalidate(known)
  const file = unchanged ?? (await fetcher.download())
  if (options.checksum !== undefined && options.checksum !== file.digest)
    throw digestMismatch(redactUrl(url), options.checksum, file.digest)
  if (unchanged === undefined) await options.cache?.set(url.href, file)
  return file
}

/** http and https only, without fragment. */
function parseSourceUrl(text: string): URL {
  let url: URL | undefined
  try {
    url = new URL(text)
  } catch {
    // Reported below.
  }
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new TbuildError('URL_INVALID', `not an http or https URL: ${redactUrl(text)}`, {
      hint: 'ADD takes http://, https:// and git URLs',
    })
  }
  url.hash = ''
  return url
}

class Fetcher {
  readonly #options: HttpFetchOptions
  readonly #url: URL
  readonly #transport: Transport

  constructor(options: HttpFetchOptions, url: URL) {
    this.#options = options
    this.#url = url
    this.#transport = options.transport
  }

  /** The earlier file when the server still has the same ETag and the store still has the bytes; servers that fail at HEAD are asked by GET. */
  async revalidate(known: FetchedFile): Promise<FetchedFile | undefined> {
    if (known.etag === undefined || (await this.#options.blobs.stat(known.digest)) === undefined) return undefined
    const response = await this.#follow('HEAD', { 'if-none-match': known.etag })
    discard(response, 'HEAD')
    if (response.status === 304) return known
    return response.status === 200 && strongTag(response.header('etag')) === known.etag ? known : undefined
  }

  async download(): Promise<FetchedFile> {
    const response = await this.#follow('GET', {})
    if (response.status < 200 || response.status >= 300) {
      discard(response)
      throw new TbuildError('URL_FETCH_FAILED', `${redactUrl(this.#url)}: invalid response status ${response.status}`, {
        hint: 'open the URL in a browser, or ask its owner',
      })
    }
    const announced = Number(response.header('content-length') ?? 0)
    this.#checkSize(announced, response)
    const { blobs, onProgress, signal } = this.#options
    // What is sent in another form is countBytes as it is kept.
    const total = announced > 0 && response.header('content-encoding') === undefined ? announced : undefined
    const { digest, size } = await blobs.put(countBytes(this.#body(response), (current) => onProgress?.(current, total, false), signal))
    onProgress?.(size, size, true)
    const etag = strongTag(response.header('etag'))
    return {
      digest,
      size,
      ...lastModifiedOf(response),
      ...(etag === undefined ? {} : { etag }),
    }
  }

  /** Content-Encoding: gzip is taken off though we did not ask for it: Go's client, which BuildKit uses, asks for it and takes it off. */
  async *#body(response: HttpResponse): Bytes {
    const source = response.header('content-encoding')?.toLowerCase() === 'gzip' ? await gunzipped(response) : response.body
    let size = 0
    try {
      for await (const chunk of source as AsyncIterable<Buffer>) {
        size += chunk.length
        this.#checkSize(size, response)
        yield chunk
      }
    } catch (error) {
      throw unreachable(redactUrl(this.#url), response.url, error, { signal: this.#options.signal, code: 'URL_UNREACHABLE' })
    }
  }

  /** A size that is only announced is refused, too: nothing is fetched in vain. */
  #checkSize(size: number, response: HttpResponse): void {
    const { limit } = this.#options
    if (limit === undefined || !(size > limit)) return
    response.body.destroy()
    throw new TbuildError('URL_TOO_LARGE', `${redactUrl(this.#url)}: more than ${limit} bytes`, { hint: limitHint('url') })
  }

  async #follow(method: 'GET' | 'HEAD', headers: Record<string, string>): Promise<HttpResponse> {
    let url = this.#url
    for (let hop = 0; hop <= REDIRECTS; hop++) {
      this.#checkHop(url, hop)
      const response = await this.#send(method, url, headers)
      const location = response.header('location')
      if (!REDIRECT_STATUS.has(response.status) || location === undefined) return response
      discard(response, method)
      const next = resolveLocation(location, url)
      if (next === undefined) throw this.#refused(location, 'it is not a URL')
      if (url.protocol === 'https:' && next.protocol !== 'https:') throw this.#refused(next, 'it leaves https')
      url = next
    }
    throw this.#refused(url, `more than ${REDIRECTS} redirects`)
  }

  /** A Dockerfile may name any address; a server it names may not lead to this machine or to a cloud's metadata. */
  #checkHop(url: URL, hop: number): void {
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw this.#refused(url, `the scheme ${url.protocol} is not http or https`)
    const kind = kindOfHost(url.hostname)
    const led = hop > 0 && url.hostname !== this.#url.hostname && kind !== 'public' && kindOfHost(this.#url.hostname) !== kind
    if (led) throw this.#refused(url, `${url.hostname} is not a public address`)
  }

  #refused(to: URL | string, problem: string): TbuildError {
    return new TbuildError('URL_REFUSED', `${redactUrl(this.#url)}: refused ${redactUrl(to)}: ${problem}`, {
      hint: 'use the final URL, if you trust it',
    })
  }

  async #send(method: 'GET' | 'HEAD', url: URL, headers: Record<string, string>): Promise<HttpResponse> {
    const authorization = this.#authorization(url)
    const request = {
      method,
      url,
      headers: { ...headers, ...(authorization === undefined ? {} : { authorization }) },
      signal: this.#options.signal,
    }
    const retry = this.#options.retry ?? DEFAULT_RETRY
    try {
      return await withRetry(retry, this.#options.signal, () => this.#transport.request(request))
    } catch (error) {
      throw unreachable(redactUrl(this.#url), url, error, { signal: this.#options.signal, code: 'URL_UNREACHABLE' })
    }
  }

  /** Userinfo of a URL is a Basic login, as Go's client has it. */
  #authorization(url: URL): string | undefined {
    const { authorization, login } = this.#options
    if (authorization !== undefined && sameOrigin(url, this.#url)) return authorization
    return login !== undefined && url === this.#url ? login : splitLogin(url.href).login?.basic()
  }
}

async function gunzipped(response: HttpResponse): Promise<AsyncIterable<Buffer>> {
  const [{ createGunzip }, { pipeline }] = await Promise.all([import('node:zlib'), import('node:stream')])
  // The reader of the last stream sees any error of the first.
  return pipeline(response.body, createGunzip(), () => {})
}

/** Weak tags count as their strong form, as BuildKit compares them. */
function strongTag(etag: string | undefined): string | undefined {
  return etag?.replace(/^W\//, '')
}

function lastModifiedOf(response: HttpResponse): { lastModified?: number } {
  const time = Date.parse(response.header('last-modified') ?? '')
  return Number.isNaN(time) ? {} : { lastModified: Math.floor(time / 1000) }
}

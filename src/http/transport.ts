import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import type { Socket } from 'node:net'
import type { Environment } from '../base/environment.ts'
import type { TlsOptions } from './certificates.ts'
import { tlsOptionsFor } from './certificates.ts'
import { proxyFor } from './proxy.ts'
import { redactUrl } from './redact.ts'

/**
 * One HTTP exchange on node:http(s), which load in 4 ms where undici takes 40: a fully cached build makes one HEAD per base image. No redirects, no
 * decoding, no cookies: what the callers decide about is theirs.
 */
export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  readonly url: URL
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>
  readonly signal?: AbortSignal | undefined
  /** The certificate of an https server is not verified. */
  readonly unverified?: boolean
}

/** The body must be read or destroyed. */
export interface HttpResponse {
  readonly status: number
  readonly url: URL
  header(name: string): string | undefined
  readonly body: IncomingMessage
}

export interface TransportOptions {
  readonly environment: Environment
  /** Milliseconds without a byte after which a connection is given up. */
  readonly idleTimeout?: number
  readonly userAgent?: string
}

export class Transport {
  readonly #options: TransportOptions
  readonly #http = new HttpAgent({ keepAlive: true, maxSockets: 16 })
  readonly #https = new Map<string, Promise<HttpAgent>>()
  /** Until their answers are read to the end. */
  readonly #open = new Set<ClientRequest>()
  readonly #closing = new AbortController()

  constructor(options: TransportOptions) {
    this.#options = options
  }

  /** Rejects with Node's error (its `code` says what) when there is no answer; any status is an answer. */
  async request(request: HttpRequest): Promise<HttpResponse> {
    request.signal?.throwIfAborted()
    const message = await this.#send(request, await this.#prepare(request))
    return {
      status: message.statusCode ?? 0,
      url: request.url,
      header: (name) => {
        const value = message.headers[name]
        return Array.isArray(value) ? value.join(', ') : value
      },
      body: message,
    }
  }

  async #prepare(request: HttpRequest): Promise<{ options: RequestOptions; secure: boolean }> {
    const { url } = request
    const secure = url.protocol === 'https:'
    const proxy = proxyFor(url, this.#options.environment)
    const headers = { 'user-agent': this.#options.userAgent ?? 'tbuild', 'accept-encoding': 'identity', ...request.headers }
    const target: RequestOptions = {
      method: request.method,
      headers,
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port || (secure ? 443 : 80),
      path: url.pathname + url.search,
    }
    if (secure) return { secure, options: { ...target, agent: await this.#agentFor(request, proxy) } }
    if (proxy === undefined) return { secure, options: { ...target, agent: this.#http } }
    return {
      secure,
      options: {
        ...target,
        ...proxyTarget(proxy),
        agent: this.#http,
        path: url.href,
        headers: { ...headers, host: url.host, ...proxyHeaders(proxy) },
      },
    }
  }

  /** A connection that was not verified is never used for who wants one that was. */
  #agentFor({ url, unverified = false }: HttpRequest, proxy: URL | undefined): Promise<HttpAgent> {
    const key = `${unverified ? 'unverified ' : ''}${url.host}`
    const known = this.#https.get(key)
    if (known !== undefined) return known
    const agent = makeHttpsAgent(tlsOptionsFor(url.host, this.#options.environment, unverified), proxy, this.#closing.signal)
    this.#https.set(key, agent)
    return agent
  }

  async #send(request: HttpRequest, prepared: { options: RequestOptions; secure: boolean }): Promise<IncomingMessage> {
    const send = prepared.secure ? (await import('node:https')).request : httpRequest
    const timeout = this.#options.idleTimeout ?? 60_000
    this.#closing.signal.throwIfAborted()
    return new Promise((resolve, reject) => {
      const outgoing = send({ ...prepared.options, timeout, ...(request.signal === undefined ? {} : { signal: request.signal }) })
      outgoing.on('timeout', () => outgoing.destroy(timeoutError(request.url, timeout)))
      this.#open.add(outgoing)
      outgoing.once('close', () => this.#open.delete(outgoing))
      const body = watchBody(request.body)
      outgoing.on('error', (error) => reject(body.error ?? error))
      outgoing.on('response', resolve)
      sendBody(outgoing, body.bytes)
    })
  }

  /** Ends every connection, also one whose answer nobody has read to its end: no server decides how long this process lives. */
  async close(): Promise<void> {
    this.#closing.abort(Object.assign(new Error('the connections of this build are closed'), { code: 'ECANCELED' }))
    for (const request of this.#open) request.destroy(this.#closing.signal.reason)
    this.#http.destroy()
    for (const agent of await Promise.allSettled(this.#https.values())) if (agent.status === 'fulfilled') agent.value.destroy()
  }
}

function timeoutError(url: URL, milliseconds: number): Error {
  return Object.assign(new Error(`no byte from ${redactUrl(url)} for ${milliseconds / 1000} s`), { code: 'ETIMEDOUT' })
}

/**
 * A body that fails is the reason; of the request that is cut off for it Node says no more than that the socket hung up. The last chunk waits for the end:
 * a source that checks its digest there fails before the server has a whole request to answer.
 */
function watchBody(body: HttpRequest['body']): { readonly bytes: HttpRequest['body']; error?: unknown } {
  if (body === undefined || body instanceof Uint8Array) return { bytes: body }
  const watched: { bytes: AsyncIterable<Uint8Array>; error?: unknown } = { bytes: passOn(body) }
  async function* passOn(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let held: Uint8Array | undefined
    try {
      for await (const chunk of chunks) {
        if (held !== undefined) yield held
        held = chunk
      }
      if (held !== undefined) yield held
    } catch (error) {
      watched.error = error
      throw error
    }
  }
  return watched
}

function sendBody(outgoing: ReturnType<typeof httpRequest>, body: HttpRequest['body']): void {
  if (body === undefined || body instanceof Uint8Array) {
    outgoing.end(body)
    return
  }
  // An answer may come (and end the connection) before the body is sent: the request's own error is the one that counts.
  import('node:stream/promises').then(({ pipeline }) => pipeline(body, outgoing)).catch((error: Error) => outgoing.destroy(error))
}

function proxyTarget(proxy: URL): RequestOptions {
  return { hostname: proxy.hostname.replace(/^\[|\]$/g, ''), port: proxy.port || 80 }
}

function proxyHeaders(proxy: URL): Record<string, string> {
  if (proxy.username === '' && proxy.password === '') return {}
  const credentials = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`
  return { 'proxy-authorization': `Basic ${Buffer.from(credentials).toString('base64')}` }
}

async function makeHttpsAgent(tls: TlsOptions, proxy: URL | undefined, closing: AbortSignal): Promise<HttpAgent> {
  const { Agent } = await import('node:https')
  const agent = new Agent({ keepAlive: true, maxSockets: 16, ...tls })
  if (proxy === undefined) return agent
  const direct = agent.createConnection.bind(agent)
  agent.createConnection = (options, callback) => {
    openTunnel(proxy, `${options.host}:${options.port}`, closing)
      .then((socket) => direct({ ...options, socket } as RequestOptions))
      .then(
        (socket) => callback?.(null, socket as never),
        (error: Error) => callback?.(error, undefined as never),
      )
    return undefined
  }
  return agent
}

/** CONNECT through an http proxy. */
function openTunnel(proxy: URL, authority: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      ...proxyTarget(proxy),
      method: 'CONNECT',
      path: authority,
      headers: { host: authority, ...proxyHeaders(proxy) },
      agent: false,
      signal,
      timeout: 30_000,
    })
    request.on('timeout', () => request.destroy(timeoutError(proxy, 30_000)))
    request.on('error', reject)
    request.on('connect', (response, socket: Socket) => {
      if (response.statusCode === 200) return resolve(socket)
      socket.destroy()
      reject(Object.assign(new Error(`the proxy ${proxy.host} answered ${response.statusCode}`), { code: 'EPROXY' }))
    })
    request.end()
  })
}

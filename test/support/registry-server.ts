import { randomBytes, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type Digest, hexOf, sha256 } from '../../src/base/digest.ts'
import { blobsOf, type TestDocument, type TestImage } from './oci-image.ts'

/**
 * A small registry for tests: OCI distribution on 127.0.0.1, content in memory. It pulls and pushes (POST, PATCH, PUT, mount), asks for logins,
 * and misbehaves on demand.
 */
export interface TestRegistryOptions {
  /** `bearer` has its token server at /token of the same port. */
  readonly auth?: 'none' | 'basic' | 'bearer'
  readonly users?: Readonly<Record<string, string>>
  /** Refresh tokens (identitytoken) that the token server takes. */
  readonly identityTokens?: readonly string[]
  /** Replaces the realm or the whole WWW-Authenticate header. */
  readonly challenge?: string
  /** Called first; true when it has answered. */
  readonly intercept?: Intercept
  /** Tokens are good for what they were asked for only. */
  readonly strictScopes?: boolean
  /** Milliseconds for which a connection without a request is kept; default: Node's five seconds. */
  readonly keepAlive?: number
  /** Registries that do not take a PUT after a POST: PATCH only. */
  readonly chunkedOnly?: boolean
}

/** With the scopes that each was asked for. */
type Tokens = Map<string, readonly string[]>

const UNAUTHORIZED = Buffer.from('{"errors":[{"code":"UNAUTHORIZED","message":"login first"}]}')

export type Intercept = (request: IncomingMessage, response: ServerResponse, registry: TestRegistry) => boolean

interface RecordedRequest {
  readonly method: string
  readonly path: string
  readonly authorization: string | undefined
  readonly headers: IncomingMessage['headers']
}

export interface TestRegistry {
  /** `127.0.0.1:PORT` */
  readonly host: string
  readonly url: string
  readonly blobs: Map<string, Buffer>
  /** By `repository:tag` and `repository@digest`. */
  readonly documents: Map<string, TestDocument>
  readonly requests: RecordedRequest[]
  /** Serves an image, with its tag when it has one. */
  addImage(repository: string, image: TestImage, tag?: string): void
  addDocument(repository: string, document: TestDocument, tag?: string): void
  /** Serves all images of an OCI layout by their ref.name. */
  addLayout(repository: string, directory: string): void
  /** The WWW-Authenticate header for a path. */
  challenge(path: string): string
  /** No token that was given is good any more. */
  forgetTokens(): void
  intercept: Intercept | undefined
  close(): Promise<void>
}

export async function startTestRegistry(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const tokens: Tokens = new Map()
  const uploads = new Map<string, Buffer>()
  const server: Server = createServer((request, response) => {
    void serve(request, response).catch((error: Error) => response.destroy(error))
  })
  if (options.keepAlive !== undefined) server.keepAliveTimeout = options.keepAlive
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const registry: TestRegistry = {
    host,
    url: `http://${host}`,
    blobs: new Map(),
    documents: new Map(),
    requests: [],
    intercept: options.intercept,
    addImage(repository, image, tag) {
      for (const blob of blobsOf(image)) registry.blobs.set(sha256(blob), blob)
      registry.addDocument(repository, image.manifest, tag)
    },
    addDocument(repository, document, tag) {
      registry.documents.set(`${repository}@${document.digest}`, document)
      if (tag !== undefined) registry.documents.set(`${repository}:${tag}`, document)
    },
    addLayout: (repository, directory) => addLayout(registry, repository, directory),
    challenge: (path) => challenge(registry, path, options),
    forgetTokens: () => tokens.clear(),
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', registry.url)
    const { method = 'GET', headers } = request
    registry.requests.push({ method, path: url.pathname + url.search, authorization: headers.authorization, headers })
    if (registry.intercept?.(request, response, registry)) return
    if (url.pathname === '/token') return serveToken(request, response, url, options, tokens)
    if (!isAllowed(headers.authorization, options, tokens) || !isInScope(request, url, options, tokens)) {
      return send(response, 401, { 'www-authenticate': registry.challenge(url.pathname) }, UNAUTHORIZED)
    }
    const upload = /^\/v2\/(.+)\/blobs\/uploads\/([0-9a-f-]*)$/.exec(url.pathname)
    if (upload) return serveUpload(request, response, url, upload[1] as string, upload[2] as string, registry, uploads, options)
    const content = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(url.pathname)
    if (content === null) return send(response, url.pathname === '/v2/' ? 200 : 404, {}, Buffer.from('{}'))
    const [, repository = '', kind, name = ''] = content
    if (kind === 'blobs') return serveBlob(request, response, registry.blobs.get(name))
    if (method === 'PUT') return putDocument(request, response, registry, repository, name)
    return serveDocument(
      response,
      registry.documents.get(name.startsWith('sha256:') ? `${repository}@${name}` : `${repository}:${name}`),
      method,
    )
  }
  return registry
}

export function send(response: ServerResponse, status: number, headers: Record<string, string | number>, body?: Buffer): void {
  response.writeHead(status, { 'content-length': body?.length ?? 0, ...headers })
  response.end(body)
}

function fail(response: ServerResponse, status: number, code: string): void {
  send(
    response,
    status,
    { 'content-type': 'application/json' },
    Buffer.from(JSON.stringify({ errors: [{ code, message: code.toLowerCase() }] })),
  )
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function login(authorization: string | undefined, users: TestRegistryOptions['users'] = {}): boolean {
  const [user = '', password] = Buffer.from(authorization?.replace(/^Basic /, '') ?? '', 'base64')
    .toString()
    .split(':')
  return password !== undefined && users[user] === password
}

function isAllowed(authorization: string | undefined, options: TestRegistryOptions, tokens: Tokens): boolean {
  if (options.auth === 'basic') return authorization?.startsWith('Basic ') === true && login(authorization, options.users)
  if (options.auth === 'bearer') return tokens.has(authorization?.replace(/^Bearer /, '') ?? '')
  return true
}

/** Every repository that a request reads or writes: its own, and that of a mount. */
function isInScope({ method = 'GET', headers }: IncomingMessage, url: URL, options: TestRegistryOptions, tokens: Tokens): boolean {
  if (options.strictScopes !== true) return true
  const scopes = tokens.get(headers.authorization?.replace(/^Bearer /, '') ?? '') ?? []
  const may = (repository: string, action: string) =>
    scopes.some((scope) => scope.startsWith(`repository:${repository}:`) && scope.slice(scope.lastIndexOf(':')).includes(action))
  const from = url.searchParams.get('from')
  return may(repositoryOf(url.pathname), method === 'GET' || method === 'HEAD' ? 'pull' : 'push') && (from === null || may(from, 'pull'))
}

function repositoryOf(path: string): string {
  return /^\/v2\/(.+)\/(?:manifests|blobs)\//.exec(path)?.[1] ?? ''
}

function challenge(registry: TestRegistry, path: string, options: TestRegistryOptions): string {
  const bearer = `Bearer realm="${registry.url}/token",service="test",scope="repository:${repositoryOf(path)}:pull"`
  return options.challenge ?? (options.auth === 'basic' ? 'Basic realm="test"' : bearer)
}

/** Anonymous pulls get a token when there are no users. */
async function serveToken(
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
  options: TestRegistryOptions,
  tokens: Tokens,
): Promise<void> {
  const form = request.method === 'POST' ? new URLSearchParams((await bodyOf(request)).toString()) : url.searchParams
  const refresh = form.get('refresh_token')
  const good =
    refresh === null
      ? options.users === undefined || login(request.headers.authorization, options.users)
      : options.identityTokens?.includes(refresh)
  if (!good || form.get('service') !== 'test' || !form.get('scope')?.startsWith('repository:')) return fail(response, 401, 'UNAUTHORIZED')
  const token = randomBytes(12).toString('hex')
  tokens.set(token, form.getAll('scope'))
  send(response, 200, { 'content-type': 'application/json' }, Buffer.from(JSON.stringify({ token, expires_in: 300 })))
}

function serveDocument(response: ServerResponse, document: TestDocument | undefined, method: string): void {
  if (document === undefined) {
    fail(response, 404, 'MANIFEST_UNKNOWN')
    return
  }
  const { mediaType, digest, bytes } = document
  response.writeHead(200, { 'content-type': mediaType, 'docker-content-digest': digest, 'content-length': bytes.length })
  response.end(method === 'HEAD' ? undefined : bytes)
}

function serveBlob(request: IncomingMessage, response: ServerResponse, blob: Buffer | undefined): void {
  if (blob === undefined) {
    fail(response, 404, 'BLOB_UNKNOWN')
    return
  }
  const start = Number(/^bytes=([0-9]+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
  const part = blob.subarray(start)
  const range = start > 0 ? { 'content-range': `bytes ${start}-${blob.length - 1}/${blob.length}` } : {}
  response.writeHead(start > 0 ? 206 : 200, { 'content-type': 'application/octet-stream', 'content-length': part.length, ...range })
  response.end(request.method === 'HEAD' ? undefined : part)
}

async function putDocument(
  request: IncomingMessage,
  response: ServerResponse,
  registry: TestRegistry,
  repository: string,
  name: string,
): Promise<void> {
  const bytes = await bodyOf(request)
  const document = { mediaType: request.headers['content-type'] ?? '', bytes, digest: sha256(bytes) }
  registry.addDocument(repository, document, name.startsWith('sha256:') ? undefined : name)
  send(response, 201, { 'docker-content-digest': document.digest })
}

async function serveUpload(
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
  repository: string,
  id: string,
  registry: TestRegistry,
  uploads: Map<string, Buffer>,
  options: TestRegistryOptions,
): Promise<void> {
  const place = (upload: string) => `/v2/${repository}/blobs/uploads/${upload}?state=${upload}`
  if (request.method === 'POST') {
    if (url.searchParams.has('from') && registry.blobs.has(url.searchParams.get('mount') ?? '')) return send(response, 201, {})
    const upload = randomUUID()
    uploads.set(upload, Buffer.alloc(0))
    return send(response, 202, { location: place(upload) })
  }
  const known = uploads.get(id)
  if (known === undefined || url.searchParams.get('state') !== id) return fail(response, 404, 'BLOB_UPLOAD_UNKNOWN')
  const body = await bodyOf(request)
  if (request.method === 'PUT' && options.chunkedOnly && body.length > 0) return fail(response, 405, 'UNSUPPORTED')
  const whole = Buffer.concat([known, body])
  uploads.set(id, whole)
  if (request.method === 'PATCH') return send(response, 202, { location: place(id) })
  const digest = url.searchParams.get('digest') ?? ''
  if (sha256(whole) !== digest) return fail(response, 400, 'DIGEST_INVALID')
  registry.blobs.set(digest, whole)
  send(response, 201, { 'docker-content-digest': digest })
}

function addLayout(registry: TestRegistry, repository: string, directory: string): void {
  const read = (digest: Digest) => readFileSync(join(directory, 'blobs/sha256', hexOf(digest)))
  const add = (entry: { digest: Digest; mediaType: string; annotations?: Record<string, string> }) => {
    const bytes = read(entry.digest)
    const { manifests, config, layers } = JSON.parse(bytes.toString()) as Record<string, { digest: Digest; mediaType: string }[]>
    registry.addDocument(
      repository,
      { mediaType: entry.mediaType, bytes, digest: entry.digest },
      entry.annotations?.['org.opencontainers.image.ref.name'],
    )
    for (const inner of manifests ?? []) add(inner)
    for (const blob of [config, ...(layers ?? [])].flat()) if (blob) registry.blobs.set(blob.digest, read(blob.digest))
  }
  const index = JSON.parse(readFileSync(join(directory, 'index.json'), 'utf8')) as { manifests: Parameters<typeof add>[0][] }
  for (const entry of index.manifests) add(entry)
}

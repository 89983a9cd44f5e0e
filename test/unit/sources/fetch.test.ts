import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { sha256 } from '../../../src/base/digest.ts'
import { Transport } from '../../../src/http/transport.ts'
import { type FetchCache, type FetchedFile, fetchUrl, type HttpFetchOptions } from '../../../src/sources/url/fetch.ts'
import { createMemoryBlobStore } from '../../support/memory-blob-store.ts'

let server: Server
let base: string
let requests: string[]
let handle: (request: IncomingMessage, response: ServerResponse) => void

beforeEach(async () => {
  requests = []
  server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`)
    handle(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

const transport = new Transport({ environment: {} })
afterAll(() => transport.close())

const retry = { attempts: 2, delay: 1, maxDelay: 5 }
const get = (path: string, options: Partial<HttpFetchOptions> = {}) =>
  fetchUrl(base + path, { blobs: createMemoryBlobStore(), transport, retry, ...options })

function memoryCache(): FetchCache {
  const files = new Map<string, FetchedFile>()
  return {
    get: async (url) => files.get(url),
    set: async (url, file) => {
      files.set(url, file)
    },
  }
}

test('F30 digest and Last-Modified in seconds', async () => {
  handle = (_request, response) => response.writeHead(200, { 'last-modified': 'Thu, 01 Jan 2015 00:00:07 GMT' }).end('hello')
  const file = await get('/dir/a%20b.txt?x=1#frag')
  expect(file).toEqual({ digest: sha256('hello'), size: 5, lastModified: 1420070407 })
})

test('F31 an unchanged ETag means one HEAD and no body; a changed one a download', async () => {
  let etag = '"one"'
  handle = (request, response) => {
    const status = request.headers['if-none-match'] === etag ? 304 : 200
    response.writeHead(status, { etag: `W/${etag}` }).end(status === 304 || request.method === 'HEAD' ? undefined : etag)
  }
  const options = { blobs: createMemoryBlobStore(), cache: memoryCache() }
  const first = await get('/f', options)
  expect(await get('/f', options)).toEqual(first)
  expect(requests).toEqual(['GET /f', 'HEAD /f'])
  etag = '"two"'
  expect((await get('/f', options)).digest).toBe(sha256('"two"'))
})

test('F32 --checksum refuses other content, and asks nothing when an earlier build had it', async () => {
  handle = (_request, response) => response.end('hello')
  const options = { blobs: createMemoryBlobStore(), cache: memoryCache(), checksum: sha256('hello') }
  await get('/f', options)
  await get('/f', options)
  expect(requests).toEqual(['GET /f'])
  await expect(get('/f', { checksum: sha256('other') })).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
})

test('Content-Encoding gzip is taken off, and the limit counts what comes out', async () => {
  handle = (_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(100_000)))
  expect((await get('/f')).size).toBe(100_000)
  await expect(get('/f', { limit: 99_999 })).rejects.toMatchObject({ code: 'URL_TOO_LARGE' })
})

test('a truncated body, a 404 and a loop of redirects are errors', async () => {
  handle = (_request, response) => {
    response.writeHead(200, { 'content-length': 10 })
    response.write('half', () => response.destroy())
  }
  await expect(get('/f')).rejects.toMatchObject({ code: 'URL_UNREACHABLE' })
  handle = (_request, response) => response.writeHead(404).end('no')
  await expect(get('/f')).rejects.toMatchObject({ code: 'URL_FETCH_FAILED', message: expect.stringContaining('404') })
  handle = (request, response) => response.writeHead(302, { location: request.url }).end()
  await expect(get('/f')).rejects.toMatchObject({ code: 'URL_REFUSED', message: expect.stringContaining('10 redirects') })
})

test.each(['file:///etc/passwd', 'gopher://x/', 'http://169.254.169.254/latest'])(
  'ADD URL SSRF: a redirect to %s is refused',
  async (location) => {
    handle = (_request, response) => response.writeHead(302, { location }).end()
    await expect(get('/f')).rejects.toMatchObject({ code: 'URL_REFUSED' })
  },
)

test('the secret of a URL goes to its own origin only, and is never shown', async () => {
  const seen: (string | undefined)[] = []
  const other = createServer((request, response) => {
    seen.push(request.headers.authorization)
    response.end('x')
  })
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const to = `http://127.0.0.1:${(other.address() as AddressInfo).port}/x`
  handle = (request, response) => {
    seen.push(request.headers.authorization)
    response.writeHead(302, { location: to }).end()
  }
  await get('/f', { authorization: 'Bearer s3cret' })
  expect(seen).toEqual(['Bearer s3cret', undefined])
  other.closeAllConnections()
  other.close()
  handle = (_request, response) => response.writeHead(404).end()
  const error = await fetchUrl(`${base.replace('//', '//ann:hunter2@')}/f?sig=abc`, {
    blobs: createMemoryBlobStore(),
    transport,
    retry,
  }).catch((caught: Error) => caught)
  expect(String(error)).not.toMatch(/hunter2|abc/)
})

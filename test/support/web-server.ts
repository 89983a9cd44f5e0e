import { spawn } from 'node:child_process'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

interface WebFile {
  readonly data: Uint8Array | string
  readonly headers?: Readonly<Record<string, string>>
  /** Value of Authorization without which the answer is 401. */
  readonly authorization?: string
  readonly status?: number
}

/** A server on 127.0.0.1 for files, and for the bare repositories of a folder below /git/. */
export interface WebServer {
  readonly url: string
  readonly files: Map<string, WebFile>
  /** `METHOD /path status` of each request, in order. */
  readonly requests: string[]
  /** Repositories are served as plain files: git's dumb protocol. */
  dumb: boolean
  /** Required of requests below /git/. */
  gitAuthorization: string | undefined
  close(): Promise<void>
}

export async function startWebServer(repositories: string): Promise<WebServer> {
  const files = new Map<string, WebFile>()
  const requests: string[] = []
  const http = createServer((request, response) => {
    response.on('finish', () => requests.push(`${request.method} ${request.url} ${response.statusCode}`))
    const path = decodeURIComponent((request.url ?? '').split('?')[0] as string)
    if (!path.startsWith('/git/')) return serveFile(files.get(path), request, response)
    if (server.gitAuthorization !== undefined && request.headers.authorization !== server.gitAuthorization) return refuse(response)
    serveGit(repositories, path.slice('/git'.length), server.dumb, request, response)
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const server: WebServer = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    files,
    requests,
    dumb: false,
    gitAuthorization: undefined,
    close: () =>
      new Promise((resolve) => {
        http.closeAllConnections()
        http.close(() => resolve())
      }),
  }
  return server
}

function refuse(response: ServerResponse): void {
  response.writeHead(401, { 'www-authenticate': 'Basic realm="test"' }).end()
}

function serveFile(file: WebFile | undefined, request: IncomingMessage, response: ServerResponse): unknown {
  if (file === undefined) return response.writeHead(404).end()
  if (file.authorization !== undefined && request.headers.authorization !== file.authorization) return refuse(response)
  const headers = { ...file.headers }
  const unchanged = headers.etag !== undefined && request.headers['if-none-match'] === headers.etag
  if (unchanged) return response.writeHead(304, headers).end()
  response.writeHead(file.status ?? 200, headers)
  return response.end(request.method === 'HEAD' ? undefined : file.data)
}

/** git http-backend(1), a CGI program. */
function serveGit(root: string, path: string, dumb: boolean, request: IncomingMessage, response: ServerResponse): void {
  const query = (request.url ?? '').split('?')[1] ?? ''
  const child = spawn(
    'git',
    ['-c', 'safe.directory=*', '-c', `http.getanyfile=${dumb}`, '-c', `http.uploadpack=${!dumb}`, 'http-backend'],
    {
      env: {
        PATH: process.env.PATH,
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: '1',
        PATH_INFO: path,
        QUERY_STRING: dumb ? '' : query,
        REQUEST_METHOD: request.method,
        CONTENT_TYPE: request.headers['content-type'] ?? '',
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
        GIT_PROTOCOL: (request.headers['git-protocol'] as string) ?? '',
        ...(request.headers['content-length'] === undefined ? {} : { CONTENT_LENGTH: request.headers['content-length'] }),
        REMOTE_ADDR: '127.0.0.1',
      },
      stdio: ['pipe', 'pipe', 'ignore'],
    },
  )
  request.pipe(child.stdin)
  child.stdin.on('error', () => {})
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  child.on('close', () => {
    const output = Buffer.concat(chunks)
    const end = output.indexOf('\r\n\r\n')
    const headers = Object.fromEntries(
      output
        .subarray(0, end)
        .toString('latin1')
        .split('\r\n')
        .map((line) => line.split(': ', 2) as [string, string]),
    )
    const { Status = '200', ...rest } = headers
    response.writeHead(Number.parseInt(Status, 10), rest).end(output.subarray(end + 4))
  })
}

import type { HttpResponse } from './transport.ts'

/** Gives up a body that nobody needs: a short one is drained to keep the connection, any other closes it. */
export function discard(response: HttpResponse, method = 'GET'): void {
  const length = response.header('content-length')
  if (method === 'HEAD' || response.status === 304 || (length !== undefined && Number(length) <= 64 * 1024)) response.body.resume()
  else response.body.destroy()
}

import type { Bytes } from '../store/types.ts'
import type { HttpResponse } from './transport.ts'

/** A whole body of at most `limit` bytes; undefined when it is longer, in which case the connection is dropped, not drained. */
export async function readCapped(body: Bytes, limit: number): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    // Leaving the loop destroys a stream.
    if (size > limit) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, size)
}

/** Gives up a body that nobody needs: a short one is drained to keep the connection, any other closes it. */
export function discard(response: HttpResponse, method = 'GET'): void {
  const length = response.header('content-length')
  if (method === 'HEAD' || response.status === 304 || (length !== undefined && Number(length) <= 64 * 1024)) response.body.resume()
  else response.body.destroy()
}

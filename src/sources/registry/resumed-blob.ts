import { isTransientError, type RetryPolicy, sleep } from '../../http/retry.ts'
import type { HttpResponse } from '../../http/transport.ts'
import type { Bytes } from '../../store/types.ts'
import { unreachable } from './registry-error.ts'

/** The bytes of a blob, opened again from where a broken connection stopped; a server without ranges sends all and the known part is skipped. */
export async function* resumedBlob(
  first: HttpResponse,
  open: (offset: number) => Promise<HttpResponse>,
  retry: RetryPolicy,
  what: string,
  signal?: AbortSignal,
): Bytes {
  let response = first
  let done = 0
  for (let attempt = 1; ; attempt++) {
    try {
      let skip = response.status === 206 ? 0 : done
      for await (const chunk of response.body as AsyncIterable<Buffer>) {
        const part = skip >= chunk.length ? undefined : chunk.subarray(skip)
        skip = Math.max(0, skip - chunk.length)
        if (part === undefined) continue
        done += part.length
        yield part
      }
      return
    } catch (error) {
      if (signal?.aborted || attempt >= retry.attempts || !isTransientError(error)) throw unreachable(what, response.url, error, { signal })
    } finally {
      response.body.destroy()
    }
    await sleep(retry.delay * 2 ** (attempt - 1), signal)
    response = await open(done)
  }
}

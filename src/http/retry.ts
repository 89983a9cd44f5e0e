import { errorCode } from '../base/errors.ts'
import { discard } from './body.ts'
import type { HttpResponse } from './transport.ts'

export interface RetryPolicy {
  /** Tries altogether. */
  readonly attempts: number
  /** Milliseconds before the second try; doubled each time. */
  readonly delay: number
  /** Milliseconds; a longer Retry-After is not waited for. */
  readonly maxDelay: number
}

export const DEFAULT_RETRY: RetryPolicy = { attempts: 5, delay: 250, maxDelay: 30_000 }
export const ONCE: RetryPolicy = { attempts: 1, delay: 0, maxDelay: 0 }

const TRANSIENT_STATUS = new Set([408, 429, 500, 502, 503, 504])
const TRANSIENT_CODE = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EAI_AGAIN'])

export function isTransientError(error: unknown): boolean {
  return TRANSIENT_CODE.has(errorCode(error) ?? '')
}

/** Tries again on a broken connection and on 408, 429 and 5xx, with back-off or the server's Retry-After; the last answer is handed on. `more`: other statuses. */
export async function withRetry(
  policy: RetryPolicy,
  signal: AbortSignal | undefined,
  send: () => Promise<HttpResponse>,
  more: readonly number[] = [],
): Promise<HttpResponse> {
  for (let attempt = 1; ; attempt++) {
    let wait = backOff(policy, attempt)
    try {
      const response = await send()
      const asked = retryAfter(response)
      if (
        !(TRANSIENT_STATUS.has(response.status) || more.includes(response.status)) ||
        attempt >= policy.attempts ||
        (asked ?? 0) > policy.maxDelay
      )
        return response
      wait = asked ?? wait
      discard(response)
    } catch (error) {
      if (signal?.aborted || attempt >= policy.attempts || !isTransientError(error)) throw error
    }
    await sleep(wait, signal)
  }
}

/** Half fixed and half random, so that many builders do not come back in step. */
function backOff(policy: RetryPolicy, attempt: number): number {
  return Math.min(policy.delay * 2 ** (attempt - 1), policy.maxDelay) * (0.5 + Math.random() / 2)
}

function retryAfter(response: HttpResponse): number | undefined {
  const text = response.header('retry-after')
  if (text === undefined) return undefined
  const milliseconds = /^[0-9]{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now()
  return Number.isNaN(milliseconds) ? undefined : Math.max(0, milliseconds)
}

export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  const { setTimeout } = await import('node:timers/promises')
  await setTimeout(milliseconds, undefined, signal === undefined ? {} : { signal })
}

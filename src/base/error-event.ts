import { isTbuildError } from './errors.ts'
import type { BuildEvent, OnEvent } from './events.ts'

/** What is not the user's doing: a bug of ours. */
export const BUG = 'BUG'

/** A failure as an event. */
export function errorEvent(error: unknown): Extract<BuildEvent, { type: 'error' }> {
  if (!isTbuildError(error)) return { type: 'error', code: BUG, message: String((error as Error | undefined)?.message ?? error) }
  const { code, message, span, hint } = error
  return { type: 'error', code, message, ...(span === undefined ? {} : { span }), ...(hint === undefined ? {} : { hint }) }
}

/** Makes what the work rejects with the last event. */
export async function endingWithError<T>(onEvent: OnEvent | undefined, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    try {
      onEvent?.(errorEvent(error))
    } catch {
      // What was wrong first is what the caller wants to know.
    }
    throw error
  }
}

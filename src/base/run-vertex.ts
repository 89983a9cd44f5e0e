import { sha256 } from './digest.ts'
import type { Progress } from './events.ts'

/** A vertex that is announced and run at once: work besides the Dockerfile's steps, such as a look-up or an export. */
export async function runVertex<T>(id: string, name: string, { onEvent, signal }: Progress, run: () => Promise<T>): Promise<T> {
  onEvent({ type: 'vertex', id, digest: sha256(`${id} ${name}`), inputs: [], name })
  onEvent({ type: 'started', id, time: Date.now() })
  try {
    const value = await run()
    onEvent({ type: 'done', id, time: Date.now(), cached: false })
    return value
  } catch (error) {
    onEvent({ type: 'failed', id, time: Date.now(), canceled: signal.aborted, message: (error as Error).message })
    throw error
  }
}

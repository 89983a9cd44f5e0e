import { existsSync } from 'node:fs'
import { isTbuildError, systemError, TbuildError } from '../base/errors.ts'
import type { Progress } from '../base/events.ts'
import type { ResolvedOptions } from '../build-options.ts'
import type { Caller } from '../caller/caller.ts'
import { openSharedStore } from '../store/store.ts'
import { Sandboxes } from './lazy-sandbox.ts'
import { openSession, type Session } from './session.ts'

/** One session from opening to closing. What the operating system refuses and what the caller cancels leaves it as a TbuildError. */
export async function withSession<T>(
  options: ResolvedOptions,
  caller: Caller,
  work: (session: Session, progress: Progress) => Promise<T>,
): Promise<T> {
  const { onEvent, signal } = caller.progress
  let session: Session | undefined
  const over = new AbortController()
  const progress = { onEvent, signal: AbortSignal.any([signal, over.signal]) }
  try {
    // Attributes of files are asked for by way of it, and everything that the sandbox makes.
    if (!existsSync('/proc/self/fd'))
      throw new TbuildError('PROC_MISSING', 'there is no /proc', { hint: 'mount /proc: mount -t proc proc /proc' })
    const store = openSharedStore(options.root)
    session = await openSession(options, caller, { store, sandboxes: new Sandboxes(store.layout.root) }, progress)
    return await work(session, progress)
  } catch (error) {
    throw signal.aborted && !isTbuildError(error) ? canceled(error) : systemError(error)
  } finally {
    // Whatever is still under way is nobody's: a pull beside the one that failed, a pause before another try.
    over.abort(new Error('the build is over'))
    await session?.close()
  }
}

function canceled(cause: unknown): TbuildError {
  return new TbuildError('CANCELED', 'the build was canceled', { exitCode: 130, cause })
}

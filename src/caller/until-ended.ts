import { unlessAborted } from '../base/unless-aborted.ts'
import type { Caller, DirectorySink, Sink } from './caller.ts'

type Bytes = AsyncIterable<Uint8Array>

/**
 * The caller as one build asks it. Whoever is at the other end may be gone without a word: the end of the build, of which `signal` tells, ends every wait for
 * an answer. Only what an output does to leave nothing behind is waited for.
 */
export function untilEnded(caller: Caller, signal: AbortSignal): Caller {
  const wait = <T>(answer: Promise<T>) => unlessAborted(answer, signal)
  const ended = (sink: Pick<Sink, 'commit' | 'abort'>) => ({
    commit: () => wait(sink.commit()),
    abort: (reason: unknown) => sink.abort(reason),
  })
  return {
    environment: caller.environment,
    stdin: caller.stdin && bytes(caller.stdin, signal),
    progress: caller.progress,
    get workingDirectory() {
      return caller.workingDirectory
    },
    directory: (...asked) => wait(caller.directory(...asked)),
    async file(path) {
      const found = await wait(caller.file(path))
      return found && bytes(found, signal)
    },
    async sink(...asked) {
      const sink: Sink = await opened(caller.sink(...asked), signal)
      const writeFile = sink.writeFile?.bind(sink)
      const copying = writeFile && { writeFile: (...file: Parameters<typeof writeFile>) => wait(writeFile(...file)) }
      const mark = sink.mark?.bind(sink)
      return { write: (data) => wait(sink.write(data)), ...copying, ...(mark && { mark }), ...ended(sink) }
    },
    renewed: (...asked) => wait(caller.renewed(...asked)),
    async directorySink(...asked) {
      const sink: DirectorySink = await opened(caller.directorySink(...asked), signal)
      return { path: sink.path, ...ended(sink) }
    },
    secret: (id) => wait(caller.secret(id)),
    agent: (id) => wait(caller.agent(id)),
    credentials: (...asked) => wait(caller.credentials(...asked)),
  }
}

/** One that is open only after the end is filled by nobody. */
async function opened<S extends Pick<Sink, 'abort'>>(opening: Promise<S>, signal: AbortSignal): Promise<S> {
  try {
    return await unlessAborted(opening, signal)
  } catch (error) {
    opening.then(
      (sink) => sink.abort(error),
      () => {},
    )
    throw error
  }
}

async function* bytes(given: Bytes, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = given[Symbol.asyncIterator]()
  let isDone = false
  try {
    for (;;) {
      const next = await unlessAborted(iterator.next(), signal)
      isDone = next.done === true
      if (next.done) return
      yield next.value
    }
  } finally {
    // What is still being read comes before it: that is not waited for.
    if (!isDone) iterator.return?.()?.then(undefined, () => {})
  }
}

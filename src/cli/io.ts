import { cannotWrite, isReaderGone, Output } from './output.ts'

/** Where the process comes from and writes to. */
export interface Streams {
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  readonly env: NodeJS.ProcessEnv
}

/** What the commands share. */
export interface Io {
  readonly stdin: NodeJS.ReadStream
  readonly stdout: Output
  readonly stderr: Output
  readonly env: NodeJS.ProcessEnv
  /** Aborted when an output cannot be written any more: whatever is made for it, nobody gets it. */
  readonly lost: AbortSignal
}

export function openIo(streams: Streams): Io {
  const lost = new AbortController()
  const onLost = () => lost.abort()
  const isProcess = streams === process
  return {
    // Node opens it when it is asked for, which takes time: most builds do not read it.
    get stdin() {
      return streams.stdin
    },
    stdout: new Output(() => streams.stdout, onLost, isProcess ? 1 : undefined),
    stderr: new Output(() => streams.stderr, onLost, isProcess ? 2 : undefined),
    env: streams.env,
    lost: lost.signal,
  }
}

/** 128 + SIGPIPE: what a program ends with that a closed pipe kills. */
const READER_GONE_STATUS = 141

/** Waits for the readers. What could not be written: a status when nobody is left to be told, otherwise the error. */
export async function lostOutput({ stdout, stderr }: Io): Promise<{ readonly status: number } | { readonly error: unknown } | undefined> {
  await Promise.all([stdout.flushed(), stderr.flushed()])
  const failures = [
    ['standard output', stdout.failure],
    ['standard error', stderr.failure],
  ] as const
  for (const [name, failure] of failures) {
    if (failure !== undefined && !isReaderGone(failure)) return { error: cannotWrite(name, failure) }
  }
  return failures.some(([, failure]) => failure !== undefined) ? { status: READER_GONE_STATUS } : undefined
}

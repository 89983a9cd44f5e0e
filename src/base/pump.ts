import type { Readable } from 'node:stream'
import { untilTaken } from './until-taken.ts'

/** Hands on what a process prints. While `take` has returned a promise that is open, nothing is read, so the process waits too; the end of the build ends that. */
export function pump(stream: Readable, take: (data: Buffer) => unknown, signal: AbortSignal | undefined): void {
  const goOn = () => stream.resume()
  stream.on('data', (data: Buffer) => {
    const waits = untilTaken(take(data), signal)
    if (waits === undefined) return
    stream.pause()
    waits.then(goOn, goOn)
  })
}

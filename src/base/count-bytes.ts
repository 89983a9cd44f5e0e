import { untilTaken } from './until-taken.ts'

/** The same bytes; `report` gets after each chunk how many there were, and they wait for a promise that it returns. */
export async function* countBytes(
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  report: (total: number) => unknown,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  let total = 0
  for await (const chunk of bytes) {
    total += chunk.length
    const waits = untilTaken(report(total), signal)
    if (waits !== undefined) await waits
    yield chunk
  }
}

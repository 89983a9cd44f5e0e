import type { Sink } from './caller.ts'

/** Opens what an output is written to, and tells it at the end whether that is whole. */
export async function filled<S extends Pick<Sink, 'commit' | 'abort'>, T>(opened: Promise<S>, fill: (sink: S) => Promise<T>): Promise<T> {
  const sink = await opened
  try {
    const result = await fill(sink)
    await sink.commit()
    return result
  } catch (error) {
    await sink.abort(error)
    throw error
  }
}

export async function writeTo({ write }: Pick<Sink, 'write'>, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of bytes) await write(chunk)
}

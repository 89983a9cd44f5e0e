import { pipeline, Readable, type Transform } from 'node:stream'
import type { Bytes } from '../store/types.ts'

/** A Node transform as a step of a chain of async iterables: errors of the source come out unchanged, stopping early closes it. */
export function throughTransform(bytes: Bytes, transform: Transform): Bytes {
  pipeline(Readable.from(bytes, { objectMode: false }), transform, () => {
    // The error, if any, destroyed the transform and is thrown to whoever iterates it.
  })
  return transform
}

/**
 * The same, a piece at a time: all that a piece made is handed out before the next one is asked for, so that an error of the source or of a later piece takes
 * nothing with it. What a failing piece itself made is lost. The transform is never ended: for decoders that know their own end.
 */
export async function* inPieces(pieces: Bytes, transform: Transform): AsyncGenerator<Uint8Array, void, undefined> {
  let failure: Error | undefined
  let wake = () => {}
  transform.on('readable', () => wake())
  transform.on('error', (error: Error) => {
    failure = error
    wake()
  })
  try {
    for await (const piece of pieces) {
      let written = false
      transform.write(piece, () => {
        written = true
        wake()
      })
      for (;;) {
        const part = transform.read() as Buffer | null
        if (part !== null) yield part
        else if (failure !== undefined) throw failure
        else if (written) break
        else
          await new Promise<void>((resolve) => {
            wake = resolve
          })
      }
    }
  } finally {
    transform.destroy()
  }
}

import { pipeline, Readable, type Transform } from 'node:stream'
import type { Bytes } from '../store/types.ts'

/** A Node transform as a step of a chain of async iterables: errors of the source come out unchanged, stopping early closes it. */
export function throughTransform(bytes: Bytes, transform: Transform): Bytes {
  pipeline(Readable.from(bytes, { objectMode: false }), transform, () => {
    // The error, if any, destroyed the transform and is thrown to whoever iterates it.
  })
  return transform
}

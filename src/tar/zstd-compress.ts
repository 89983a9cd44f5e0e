import { sys } from '../base/sys.ts'
import type { Bytes } from '../store/types.ts'
import { type Cut, sideBySide } from './side-by-side.ts'

/** zstd's own. */
export const DEFAULT_ZSTD_LEVEL = 3

/** Which bytes this file makes of an input and a level. To be raised by whatever changes them, a newer zstd among it. The first were those of the zstd in Node. */
export const ZSTD_FORMAT = 2

/** As `addon/frames.h` has it. */
const CUT: Cut = { size: 3584 * 1024, window: 512 * 1024, ahead: 4 }

/** From this level on a piece takes 50 MB while it is compressed. */
const HUNGRY_LEVEL = 13

/**
 * One zstd frame (RFC 8878) with a checksum, its pieces compressed side by side on libuv's threads, in the way of zstd's own. One, because not every reader goes on to the
 * next. The bytes depend on the input and the level only, not on the sizes of its chunks, the processor or the number of threads.
 */
export function zstd(bytes: Bytes, options: { readonly level?: number } = {}): AsyncGenerator<Buffer, void, undefined> {
  const level = options.level ?? DEFAULT_ZSTD_LEVEL
  const frame = sys().zstdFrame(level)
  const cut = level < HUNGRY_LEVEL ? CUT : { ...CUT, ahead: 2 }
  return sideBySide(bytes, cut, ({ bytes, window, last }) => sys().zstdPiece(frame, bytes, window, last))
}

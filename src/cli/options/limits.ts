import { parseByteSize } from '../../base/byte-size.ts'
import { parseUlimit, type Ulimit } from '../../base/ulimit.ts'
import { checked, usage } from '../usage.ts'

/** `--ulimit NAME=SOFT[:HARD]`. */
export function ulimit(text: string): Ulimit {
  return checked(() => parseUlimit(text))
}

/** A size in bytes; the message names the option. */
export function byteSize(text: string, option: string): number {
  return checked(() => parseByteSize(text), `${option}: `)
}

/** `--jobs N`. */
export function jobs(text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw usage(`invalid --jobs ${JSON.stringify(text)}: expected a number of 1 or more`)
  return Number(text)
}

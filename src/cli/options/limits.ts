import { withSuggestion } from '../../base/suggest.ts'
import { parseByteSize } from '../../values/byte-size.ts'
import type { Limits } from '../../values/limits.ts'
import { parseUlimit, type Ulimit } from '../../values/ulimit.ts'
import { checked, usage } from '../usage.ts'
import { csvPairs } from './csv.ts'

/** `--ulimit NAME=SOFT[:HARD]`. */
export function ulimit(text: string): Ulimit {
  return checked(() => parseUlimit(text))
}

/** A size in bytes; the message names the option. */
export function byteSize(text: string, option: string): number {
  return checked(() => parseByteSize(text), `${option}: `)
}

const NAMES: readonly (keyof Limits)[] = ['url', 'git', 'unpack']

/** `--limit NAME=SIZE[,NAME=SIZE]`; `none` is no limit. */
export function limits(values: readonly string[]): Partial<Limits> {
  const found: Partial<Record<keyof Limits, number>> = {}
  for (const text of values) {
    for (const [name, size] of csvPairs(text, '--limit')) {
      const known = NAMES.find((one) => one === name)
      if (known === undefined)
        throw usage(withSuggestion(`unknown limit ${JSON.stringify(name)}`, name, NAMES), `limits are ${NAMES.join(', ')}`)
      if (!size) throw usage(`--limit ${name} needs a size`, `write --limit ${name}=10g`)
      found[known] = size === 'none' ? Number.MAX_SAFE_INTEGER : byteSize(size, `--limit ${name}`)
    }
  }
  return found
}

/** `--jobs N`. */
export function jobs(text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw usage(`invalid --jobs ${JSON.stringify(text)}: expected a number of 1 or more`)
  return Number(text)
}

import type { ImageOutput } from '../../build-options.ts'
import { parseGoBool } from '../../go/bool.ts'
import { unsupported, usage } from '../usage.ts'

/** What is left of the `key=value` fields of an option: whoever reads a key takes it out, and what remains is unknown. */
export type Pairs = Map<string, string>

export function takeValue(pairs: Pairs, key: string): string | undefined {
  const value = pairs.get(key)
  pairs.delete(key)
  return value
}

/** Undefined when the key is not there. `whenEmpty` is what `key=` means, of the keys that BuildKit takes so. */
export function takeFlag(pairs: Pairs, key: string, option: string, whenEmpty?: boolean): boolean | undefined {
  const value = takeValue(pairs, key)
  if (value === undefined || (value === '' && whenEmpty !== undefined)) return value === undefined ? undefined : whenEmpty
  const flag = parseGoBool(value)
  if (flag !== undefined) return flag
  throw usage(`${option}: ${key} must be true or false, not ${JSON.stringify(value)}`)
}

/** `compression`, `compression-level`, `force-compression`. */
export function takeCompression(pairs: Pairs, option: string): Pick<ImageOutput, 'compression' | 'compressionLevel' | 'forceCompression'> {
  const kind = takeValue(pairs, 'compression')
  if (kind !== undefined && kind !== 'gzip' && kind !== 'uncompressed' && kind !== 'zstd') {
    throw unsupported(`compression ${JSON.stringify(kind)}`, 'use compression=gzip, compression=zstd or compression=uncompressed')
  }
  const level = takeValue(pairs, 'compression-level')
  const highest = kind === 'zstd' ? 22 : 9
  if (level !== undefined && !(/^[0-9]{1,2}$/.test(level) && Number(level) <= highest)) {
    throw usage(`invalid compression-level ${JSON.stringify(level)}: expected 0 to ${highest}`)
  }
  const forceCompression = takeFlag(pairs, 'force-compression', option, true)
  return {
    ...(kind === undefined ? {} : { compression: kind }),
    ...(level === undefined ? {} : { compressionLevel: Number(level) }),
    ...(forceCompression === undefined ? {} : { forceCompression }),
  }
}

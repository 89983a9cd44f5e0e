import { parseGoBool } from '../../base/go-bool.ts'
import type { ImageOutput } from '../../build-options.ts'
import { unsupported, usage } from '../usage.ts'

/** What is left of the `key=value` fields of an option: whoever reads a key takes it out, and what remains is unknown. */
export type Pairs = Map<string, string | undefined>

export function takeValue(pairs: Pairs, key: string, option: string): string | undefined {
  const value = pairs.get(key)
  if (pairs.has(key) && value === undefined) throw usage(`${option}: ${key} needs a value`, `write ${key}=VALUE`)
  pairs.delete(key)
  return value
}

/** `key` alone means true, as in buildx; undefined when it is not there. */
export function takeFlag(pairs: Pairs, key: string, option: string): boolean | undefined {
  const bare = pairs.has(key) && pairs.get(key) === undefined
  if (bare) pairs.set(key, 'true')
  const value = takeValue(pairs, key, option)
  if (value === undefined) return undefined
  const flag = parseGoBool(value)
  if (flag !== undefined) return flag
  throw usage(`${option}: ${key} must be true or false, not ${JSON.stringify(value)}`)
}

/** `compression`, `compression-level`, `force-compression`. */
export function takeCompression(pairs: Pairs, option: string): Pick<ImageOutput, 'compression' | 'compressionLevel' | 'forceCompression'> {
  const kind = takeValue(pairs, 'compression', option)
  if (kind !== undefined && kind !== 'gzip' && kind !== 'uncompressed' && kind !== 'zstd') {
    throw unsupported(`compression ${JSON.stringify(kind)}`, 'use compression=gzip, compression=zstd or compression=uncompressed')
  }
  const level = takeValue(pairs, 'compression-level', option)
  const highest = kind === 'zstd' ? 22 : 9
  if (level !== undefined && !(/^[0-9]{1,2}$/.test(level) && Number(level) <= highest)) {
    throw usage(`invalid compression-level ${JSON.stringify(level)}: expected 0 to ${highest}`)
  }
  const forceCompression = takeFlag(pairs, 'force-compression', option)
  return {
    ...(kind === undefined ? {} : { compression: kind }),
    ...(level === undefined ? {} : { compressionLevel: Number(level) }),
    ...(forceCompression === undefined ? {} : { forceCompression }),
  }
}

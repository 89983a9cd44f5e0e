import type { OutputSpec } from '../../build-options.ts'
import { unsupported, usage } from '../usage.ts'
import { csvFields, csvPairs } from './csv.ts'

type Pairs = Map<string, string | undefined>

/**
 * `-o`: `DIR` is type=local, `-` is type=tar on stdout, otherwise CSV with `type=`. Keys and meanings are buildx's; a key that is not carried out is
 * refused by name.
 */
export function output(text: string): OutputSpec {
  if (text === '') throw usage('-o needs a value', 'for example -o type=oci,dest=image.tar')
  if (text === '-') return { type: 'tar', dest: '-' }
  const fields = csvFields(text, '--output')
  if (fields.length === 1 && !text.startsWith('type=')) return { type: 'local', dest: fields[0] as string }
  const pairs = csvPairs(text, '--output')
  const type = take(pairs, 'type')
  if (type === undefined) throw usage(`invalid --output ${JSON.stringify(text)}: type is required`)
  const spec = specOf(type, pairs)
  for (const key of pairs.keys()) throw unsupported(`key ${key} of --output type=${type}`)
  return spec
}

function specOf(type: string, pairs: Pairs): OutputSpec {
  switch (type) {
    case 'oci':
    case 'docker':
      return archive(type, pairs)
    case 'local':
      return { type, dest: destination(type, pairs) }
    case 'tar':
      return { type, dest: take(pairs, 'dest') ?? '-' }
    case 'image':
    case 'registry':
      return image(type, pairs)
    case 'cacheonly':
      return { type }
    default:
      throw usage(`unknown --output type ${JSON.stringify(type)}`, 'types are oci, docker, local, tar, image, registry and cacheonly')
  }
}

function archive(type: 'oci' | 'docker', pairs: Pairs): OutputSpec {
  const tar = flag(pairs, 'tar', true)
  const dest = destination(type, pairs)
  if (!tar && dest === '-') throw usage(`--output type=${type},tar=false writes a directory: dest cannot be -`)
  const name = take(pairs, 'name')
  const compression = take(pairs, 'compression')
  if (compression !== undefined && compression !== 'gzip' && compression !== 'uncompressed') {
    throw unsupported(`compression ${JSON.stringify(compression)}`, 'use compression=gzip or compression=uncompressed')
  }
  const level = take(pairs, 'compression-level')
  if (level !== undefined && !/^[0-9]$/.test(level)) throw usage(`invalid compression-level ${JSON.stringify(level)}: expected 0 to 9`)
  return {
    type,
    dest,
    tar,
    ...(name === undefined ? {} : { name }),
    ...(compression === undefined ? {} : { compression }),
    ...(level === undefined ? {} : { compressionLevel: Number(level) }),
  }
}

function image(type: 'image' | 'registry', pairs: Pairs): OutputSpec {
  const push = flag(pairs, 'push', type === 'registry')
  const name = take(pairs, 'name')
  return { type: 'image', push, ...(name === undefined ? {} : { name }) }
}

function destination(type: string, pairs: Pairs): string {
  const dest = take(pairs, 'dest')
  if (dest) return dest
  throw usage(`--output type=${type} needs dest=PATH`, type === 'local' ? 'dest is a directory' : 'dest=- writes to standard output')
}

function take(pairs: Pairs, key: string): string | undefined {
  const value = pairs.get(key)
  if (pairs.has(key) && value === undefined) throw usage(`--output: ${key} needs a value`, `write ${key}=VALUE`)
  pairs.delete(key)
  return value
}

function flag(pairs: Pairs, key: string, otherwise: boolean): boolean {
  const bare = pairs.has(key) && pairs.get(key) === undefined
  if (bare) pairs.set(key, 'true')
  const value = take(pairs, key)
  if (value === undefined) return otherwise
  if (value === 'true' || value === '1') return true
  if (value === 'false' || value === '0') return false
  throw usage(`--output: ${key} must be true or false, not ${JSON.stringify(value)}`)
}

import type { Name } from '../base/sys-values.ts'

/**
 * Inside tree/ a path is a `Key`: the bytes as a latin1 string, one code unit a byte, relative to the root, '' for the root itself, no `.`, no
 * empty component. Keys make cheap Map keys, compare as bytes do, and hold names that are not UTF-8.
 */
export type Key = string

/** A path as it was given, as latin1: still with its slashes and dots. */
export function latin1(path: Name): string {
  return typeof path === 'string'
    ? Buffer.from(path).toString('latin1')
    : Buffer.from(path.buffer, path.byteOffset, path.byteLength).toString('latin1')
}

export function bytes(key: Key): Buffer {
  return Buffer.from(key, 'latin1')
}

/** For messages and for pattern matchers, which work on text. */
export function shown(key: Key): string {
  return bytes(key).toString()
}

export function joinKey(parent: Key, name: Key): Key {
  return parent === '' ? name : `${parent}/${name}`
}

export function parentKey(key: Key): Key {
  const slash = key.lastIndexOf('/')
  return slash < 0 ? '' : key.slice(0, slash)
}

export function nameOf(key: Key): Key {
  return key.slice(key.lastIndexOf('/') + 1)
}

export function components(path: Key): Key[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

/** A path cleaned lexically; `..` stops at the root, or gives undefined when it would leave it and `strict` is set. */
export function cleanKey(path: Key, strict = false): Key | undefined {
  const kept: Key[] = []
  for (const part of components(path)) {
    if (part !== '..') kept.push(part)
    else if (kept.pop() === undefined && strict) return undefined
  }
  return kept.join('/')
}

export function isBelow(key: Key, directory: Key): boolean {
  return directory === '' || key.startsWith(`${directory}/`)
}

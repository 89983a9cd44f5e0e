import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { canonicalJson, type Json } from '../base/canonical-json.ts'
import { sha256Hex } from '../base/digest.ts'
import { errorCode } from '../base/errors.ts'
import { ifPresent } from './store-error.ts'

/**
 * Replaces `path` as a whole: readers see the old bytes or the new ones. `temporary` is a free name on the same file system.
 *
 * `durable` also survives a power cut (two fsyncs). Without it a power cut may leave a torn or empty file, so only files that carry their own
 * checksum, and whose loss is a miss, are written that way. A killed process never tears a file: the page cache outlives it.
 */
export function writeAtomicSync(temporary: string, path: string, data: string | Uint8Array, options: { durable: boolean }): void {
  try {
    const fd = openSync(temporary, 'w', 0o600)
    try {
      writeFileSync(fd, data)
      if (options.durable) fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  if (options.durable) fsyncDirectory(dirname(path))
}

/** Makes the names in a directory durable. */
export function fsyncDirectory(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** JSON with its own checksum, so that a torn or edited file is noticed: `{"checksum":"<sha256 of the value's canonical JSON>","value":…}`. */
export function sealJson(value: Json): string {
  const text = canonicalJson(value)
  return `{"checksum":"${checksum(text)}","value":${text}}\n`
}

const HEAD = '{"checksum":"'.length
const VALUE = HEAD + 64 + '","value":'.length

/** The value of a sealed text, or undefined when anything about it is wrong. */
function unsealJson(text: string): unknown {
  const body = text.slice(VALUE, -2)
  if (!text.endsWith('}\n') || checksum(body) !== text.slice(HEAD, HEAD + 64)) return undefined
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

/** Undefined when the file is missing, torn, or not a file. Errors of the device are thrown. */
export function readSealed(path: string): unknown {
  try {
    const text = ifPresent(() => readFileSync(path, 'utf8'))
    return text === undefined ? undefined : unsealJson(text)
  } catch (error) {
    if (errorCode(error) === 'EISDIR') return undefined
    throw error
  }
}

function checksum(text: string): string {
  return sha256Hex(text)
}

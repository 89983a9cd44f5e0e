import { isUtf8 } from 'node:buffer'
import { readFileSync } from 'node:fs'
import { usage } from '../usage.ts'

/** Variables that name where something is written. */
const PLACES = ['TBUILD_ROOT', 'TMPDIR'] as const

/**
 * Node hands on bytes that are no UTF-8 as U+FFFD: another file would be read, or written, than the one that was named. Looks at what was really given only where
 * that character is.
 */
export function requireUtf8(args: readonly string[], env: Readonly<Record<string, string | undefined>>): void {
  const argument = args.find((text) => text.includes('\ufffd'))
  if (argument !== undefined && !given('cmdline').every(isUtf8)) throw notUtf8(`the argument ${JSON.stringify(argument)}`)
  const name = PLACES.find((place) => env[place]?.includes('\ufffd'))
  if (name === undefined) return
  const entry = given('environ').find((bytes) => bytes.toString('latin1').startsWith(`${name}=`))
  if (entry !== undefined && !isUtf8(entry)) throw notUtf8(`the variable ${name}`)
}

function given(what: 'cmdline' | 'environ'): Buffer[] {
  const all = readFileSync(`/proc/self/${what}`)
  const parts: Buffer[] = []
  for (let at = 0; at < all.length; ) {
    const end = all.indexOf(0, at)
    parts.push(all.subarray(at, end < 0 ? all.length : end))
    at = end < 0 ? all.length : end + 1
  }
  return parts
}

const notUtf8 = (what: string) => usage(`${what} is not UTF-8`, 'rename the file, or give a name of it that is UTF-8, such as a symlink')

import { lstatSync } from 'node:fs'
import { isAbsolute, resolve } from 'node:path'
import { errorCode, TbuildError } from '../base/errors.ts'

/** A path of the caller. `base` is what it is relative to; the process's working directory where there is none. Errors: WORKING_DIRECTORY. */
export function absolutePath(path: string, base?: string): string {
  if (isAbsolute(path)) return resolve(path)
  return base !== undefined && isAbsolute(base) ? resolve(base, path) : resolve(workingDirectory(), base ?? '', path)
}

function workingDirectory(): string {
  const name = currentName()
  // Node shows bytes that are no UTF-8 as U+FFFD: what is then named is another directory, or none.
  if (name.includes('\ufffd') && !isWorkingDirectory(name)) throw unnamed('its path is not UTF-8')
  return name
}

function currentName(): string {
  try {
    return process.cwd()
  } catch (cause) {
    throw unnamed(errorCode(cause) === 'ENOENT' ? 'it was removed' : 'it lies deeper than a path may be long', cause)
  }
}

function isWorkingDirectory(name: string): boolean {
  const [here, there] = [lstatSync('.', { bigint: true }), lstatSync(name, { bigint: true, throwIfNoEntry: false })]
  return there !== undefined && here.ino === there.ino && here.dev === there.dev
}

function unnamed(why: string, cause?: unknown): TbuildError {
  return new TbuildError('WORKING_DIRECTORY', `a relative path was given, and the working directory has no path: ${why}`, {
    hint: 'change to another directory, or give absolute paths',
    ...(cause === undefined ? {} : { cause }),
  })
}

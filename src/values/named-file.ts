import { closeSync, constants, fstatSync, openSync, readFileSync, readlinkSync, type Stats, statSync } from 'node:fs'
import { TbuildError } from '../base/errors.ts'

/**
 * Opens for reading a file that the caller names, symlinks followed, and never waits for it: a regular file, /dev/null, or a pipe that is open already, as
 * `<(command)` and /dev/stdin are. NOT_A_FILE for anything else, a fifo foremost, whose open would wait for a writer; other errors are the kernel's.
 */
export function openNamedFile(path: string): number {
  const found = statSync(path)
  if (!readable(found) && !found.isFIFO()) throw notAFile(path, found)
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  const opened = fstatSync(fd)
  if (readable(opened)) return fd
  const piped = opened.isFIFO() && isOpenPipe(fd)
  closeSync(fd)
  if (!piped) throw notAFile(path, opened)
  // Reading is to wait for the writer; opening such a pipe never waits.
  return openSync(path, 'r')
}

/** All of such a file. */
export function readNamedFile(path: string): Buffer {
  const fd = openNamedFile(path)
  try {
    return readFileSync(fd)
  } finally {
    closeSync(fd)
  }
}

function readable(stats: Stats): boolean {
  return stats.isFile() || (stats.isCharacterDevice() && stats.rdev === NULL_DEVICE)
}

/** Numbers 1:3 (devices.txt of the kernel). */
const NULL_DEVICE = 0x103

/** A fifo has a path, a pipe none (proc(5)). */
function isOpenPipe(fd: number): boolean {
  return readlinkSync(`/proc/self/fd/${fd}`).startsWith('pipe:')
}

function notAFile(path: string, stats: Stats): TbuildError {
  return new TbuildError('NOT_A_FILE', `${path} is ${kindOf(stats)} and not a regular file`, {
    hint: 'name a file, or a pipe that is open already, such as <(command) or /dev/stdin',
  })
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory'
  if (stats.isFIFO()) return 'a fifo'
  return stats.isSocket() ? 'a socket' : 'a device'
}

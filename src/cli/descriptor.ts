import { fstatSync } from 'node:fs'
import { isatty } from 'node:tty'

/** Memory devices, /dev/null of them (Documentation/admin-guide/devices.txt): no terminals, and Node's module of those takes a while to load. */
const MEMORY_DEVICES = 1

export function isTerminal(fd: number): boolean {
  const stat = fstatSync(fd)
  return stat.isCharacterDevice() && major(stat.rdev) !== MEMORY_DEVICES && isatty(fd)
}

/** Files, and devices that are no terminals: what is written to them is taken at once. */
export function isFile(fd: number): boolean {
  const stat = fstatSync(fd)
  return stat.isFile() || stat.isBlockDevice() || (stat.isCharacterDevice() && !isTerminal(fd))
}

const major = (device: number) => (device >> 8) & 0xfff

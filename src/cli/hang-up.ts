import { closeSync, fstatSync } from 'node:fs'
import { isatty } from 'node:tty'

/**
 * At its exit Node gives each terminal back the modes that it had, and aborts when one is gone. Descriptors that are closed by then it leaves alone.
 */
export function surviveHangUp(): void {
  const terminals = [0, 1, 2].filter((fd) => fstatSync(fd).isCharacterDevice() && isatty(fd))
  if (terminals.length === 0) return
  process.once('exit', () => {
    for (const fd of terminals) if (!isatty(fd)) closeSync(fd)
  })
}

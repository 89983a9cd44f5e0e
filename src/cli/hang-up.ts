import { closeSync } from 'node:fs'
import { isatty } from 'node:tty'
import { isTerminal } from './descriptor.ts'

/**
 * At its exit Node gives each terminal back the modes that it had, and aborts when one is gone. Descriptors that are closed by then it leaves alone.
 */
export function surviveHangUp(): void {
  const terminals = [0, 1, 2].filter(isTerminal)
  if (terminals.length === 0) return
  process.once('exit', () => {
    for (const fd of terminals) if (!isatty(fd)) closeSync(fd)
  })
}

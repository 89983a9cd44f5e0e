import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './cli.ts'
import { testWith } from './needs.ts'

/** `rows`, `columns` */
type Size = readonly [number, number]

/** What happens at the terminal when `text` has been seen on it, each in turn. */
type TerminalEvent =
  | { readonly text: string; readonly do: 'interrupt' | 'hang-up' | 'stop' }
  | { readonly text: string; readonly do: 'resize'; readonly size: Size }

export interface TerminalPlan {
  readonly size?: Size
  readonly on?: readonly TerminalEvent[]
}

/** Runs the built command line on a terminal (test/support/terminal.py), by default of 20 rows and 60 columns. */
export function onTerminal(args: readonly string[], plan: TerminalPlan = {}, env: NodeJS.ProcessEnv = {}) {
  const command = [join(root, 'test/support/terminal.py'), process.execPath, join(root, 'bin/tbuild.js'), ...args]
  const { status, stdout } = spawnSync('python3', command, {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, TERM: 'xterm', NO_COLOR: undefined, CI: undefined, TERMINAL: JSON.stringify(plan), ...env },
  })
  return { status, text: stdout }
}

/** Without Python there is no terminal to test on. */
export const terminalTest = testWith(existsSync('/usr/bin/python3') || process.getuid?.() === 0, 'python3')

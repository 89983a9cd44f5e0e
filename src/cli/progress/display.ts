import { usage } from '../usage.ts'
import type { Display, Screen } from './types.ts'

/** What `--progress` takes. */
export const PROGRESS_MODES: readonly string[] = ['auto', 'tty', 'plain', 'rawjson', 'quiet', 'none']

export type ProgressMode = 'tty' | 'plain' | 'rawjson' | 'quiet'

/** A value of `--progress`; empty is `auto` (buildx). Throws USAGE for another one. */
export function knownMode(mode: string): string {
  if (mode !== '' && !PROGRESS_MODES.includes(mode)) throw usage(`invalid progress mode ${mode}`, `modes are ${PROGRESS_MODES.join(', ')}`)
  return mode
}

/** `auto` is tty on a terminal that can move its cursor, else plain; `none` is quiet. Throws USAGE for what is no mode, and for `-q` with another one. */
export function progressMode(asked: string | undefined, quiet: boolean, screen: Screen, env: NodeJS.ProcessEnv): ProgressMode {
  if (quiet && asked !== undefined && !['auto', 'quiet', 'none'].includes(asked))
    throw usage(`progress=${asked} and quiet cannot be used together`, 'give one of them')
  if (quiet) return 'quiet'
  const mode = (asked ?? (env.TBUILD_PROGRESS || env.BUILDKIT_PROGRESS)) || 'auto'
  knownMode(mode)
  if (mode === 'plain' || mode === 'rawjson' || mode === 'quiet') return mode
  if (mode === 'none') return 'quiet'
  if (mode === 'tty') return 'tty'
  return screen.isTTY && env.TERM !== 'dumb' ? 'tty' : 'plain'
}

/** Only what the mode needs is loaded. */
export async function openDisplay(mode: ProgressMode, screen: Screen, env: NodeJS.ProcessEnv): Promise<Display> {
  switch (mode) {
    case 'tty':
      return (await import('./tty.ts')).ttyDisplay(screen, env)
    case 'plain':
      return (await import('./plain.ts')).plainDisplay(screen)
    case 'rawjson':
      return (await import('./rawjson.ts')).rawjsonDisplay(screen)
    case 'quiet':
      return { event() {}, close() {} }
  }
}

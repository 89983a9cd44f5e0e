import type { Display, Screen } from './types.ts'

export type ProgressMode = 'tty' | 'plain' | 'rawjson' | 'quiet'

/** `auto` is tty on a terminal that can move its cursor, else plain; `none` is quiet. */
export function progressMode(asked: string | undefined, quiet: boolean, screen: Screen, env: NodeJS.ProcessEnv): ProgressMode {
  if (quiet) return 'quiet'
  const mode = asked ?? env.TBUILD_PROGRESS ?? env.BUILDKIT_PROGRESS ?? 'auto'
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

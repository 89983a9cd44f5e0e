import { join } from 'node:path'

/** Variables of the caller's. Whoever makes one sets HOME (`src/this-machine/environment.ts`). */
export type Environment = Readonly<Record<string, string | undefined>>

export function homeFolder({ HOME }: Environment): string {
  return HOME || '/'
}

/** Where programs keep what the caller configures (XDG Base Directory). */
export function configFolder(environment: Environment): string {
  return environment.XDG_CONFIG_HOME || join(homeFolder(environment), '.config')
}

import { userInfo } from 'node:os'
import { join } from 'node:path'

type Environment = Readonly<Record<string, string | undefined>>

/** The home of the caller: HOME, else what the machine knows of the user. A user id that it does not know, as containers are run with, has none. */
export function homeFolder(environment: Environment): string {
  if (environment.HOME) return environment.HOME
  try {
    return userInfo().homedir
  } catch {
    return '/'
  }
}

/** Where programs keep what the caller configures (XDG Base Directory). */
export function configFolder(environment: Environment): string {
  return environment.XDG_CONFIG_HOME || join(homeFolder(environment), '.config')
}

import { homedir } from 'node:os'

/** The home of the caller: HOME, else what the machine knows of the user. A user id that it does not know, as containers are run with, has none. */
export function homeFolder(environment: Readonly<Record<string, string | undefined>>): string {
  if (environment.HOME) return environment.HOME
  try {
    return homedir()
  } catch {
    return '/'
  }
}

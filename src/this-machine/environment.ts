import { userInfo } from 'node:os'
import type { Environment } from '../base/environment.ts'

/** With the home of the caller: HOME, else what the machine knows of the user. A user id that it does not know, as containers are run with, has none. */
export function withHome(environment: Environment): Environment {
  return environment.HOME ? environment : { ...environment, HOME: home() }
}

function home(): string {
  try {
    return userInfo().homedir
  } catch {
    return '/'
  }
}

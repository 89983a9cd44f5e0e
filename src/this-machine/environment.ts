import { userInfo } from 'node:os'
import type { Environment } from '../base/environment.ts'

/** With the home of the caller: HOME, else what the machine knows of the user. A user id that it does not know, as containers are run with, has none. */
export function withHome(environment: Environment): Environment {
  return environment.HOME ? environment : { ...environment, HOME: home() }
}

/** Variables whose value is a path, or several with colons between them, of a file that a build reads for the caller, or docker for it. */
const PATHS: ReadonlySet<string> = new Set([
  ...['HOME', 'XDG_CONFIG_HOME', 'XDG_RUNTIME_DIR', 'DOCKER_CONFIG', 'DOCKER_CERT_PATH', 'REGISTRY_AUTH_FILE'],
  ...['CONTAINERS_REGISTRIES_CONF', 'SSL_CERT_FILE', 'SSL_CERT_DIR'],
])

/** As it is for somebody in another working directory than the process's. `path` makes a path of theirs absolute. */
export function inDirectory(environment: Environment, path: (text: string) => string): Environment {
  const absolute = (value: string) => value.split(':').map((one) => (one === '' ? one : path(one)))
  return Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [name, value && PATHS.has(name) ? absolute(value).join(':') : value]),
  )
}

function home(): string {
  try {
    return userInfo().homedir
  } catch {
    return '/'
  }
}

import { errorCode } from '../../base/errors.ts'
import { dockerProxies } from '../../this-machine/docker-proxies.ts'
import { withHome } from '../../this-machine/environment.ts'

/** Those of docker's configuration; none when it cannot be read: a build need not fail for it, as docker's does not. */
export function proxies(environment: NodeJS.ProcessEnv): Record<string, string> {
  return read(environment).values
}

/** A warning of a configuration that cannot be read. */
export function ignoredProxies(environment: NodeJS.ProcessEnv): string[] {
  const { problem } = read(environment)
  return problem === undefined ? [] : [`no proxies are taken from docker's configuration: ${problem}`]
}

interface Found {
  readonly values: Record<string, string>
  readonly problem?: string
}

/** A command asks for the values and for the warning. */
const known = new WeakMap<NodeJS.ProcessEnv, Found>()

function read(environment: NodeJS.ProcessEnv): Found {
  const found = known.get(environment) ?? look(environment)
  known.set(environment, found)
  return found
}

function look(environment: NodeJS.ProcessEnv): Found {
  try {
    return { values: dockerProxies(withHome(environment)) }
  } catch (error) {
    if (errorCode(error) !== 'DOCKER_CONFIG_INVALID') throw error
    return { values: {}, problem: (error as Error).message }
  }
}

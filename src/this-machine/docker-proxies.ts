import type { Environment } from '../base/environment.ts'
import { dockerConfigFile, readDockerConfig } from './docker-config-file.ts'

/** Members of `proxies.default` in docker's config.json, and the variables that they stand for; each in lower case, too. */
const VARIABLES: Readonly<Record<string, string>> = {
  httpProxy: 'HTTP_PROXY',
  httpsProxy: 'HTTPS_PROXY',
  noProxy: 'NO_PROXY',
  ftpProxy: 'FTP_PROXY',
  allProxy: 'ALL_PROXY',
}

/** The build arguments that docker adds to every build by itself. Throws DOCKER_CONFIG_INVALID. */
export function dockerProxies(environment: Environment): Record<string, string> {
  const proxies = member(member(readDockerConfig(dockerConfigFile(environment), '"proxies"'), 'proxies'), 'default')
  const values: Record<string, string> = {}
  for (const [name, variable] of Object.entries(VARIABLES)) {
    const value = member(proxies, name)
    if (typeof value !== 'string' || value === '') continue
    values[variable] = value
    values[variable.toLowerCase()] = value
  }
  return values
}

function member(value: unknown, name: string): unknown {
  return value !== null && typeof value === 'object' && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined
}

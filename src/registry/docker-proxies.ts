import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode, TbuildError } from '../base/errors.ts'
import { homeFolder } from '../base/home.ts'
import type { Environment } from './proxy.ts'

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
  const file = join(environment.DOCKER_CONFIG || join(homeFolder(environment), '.docker'), 'config.json')
  const proxies = member(member(read(file), 'proxies'), 'default')
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

function read(file: string): unknown {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
  try {
    return text.includes('"proxies"') ? JSON.parse(text) : undefined
  } catch (cause) {
    throw new TbuildError('DOCKER_CONFIG_INVALID', `${file} is not valid JSON`, { hint: 'mend the file', cause })
  }
}

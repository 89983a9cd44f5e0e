import { join } from 'node:path'
import type { Environment } from '../base/environment.ts'
import { homeFolder } from '../base/environment.ts'
import { errorCode, TbuildError } from '../base/errors.ts'
import { readNamedFile } from '../values/named-file.ts'

/** docker's own config.json. */
export function dockerConfigFile(environment: Environment): string {
  return join(environment.DOCKER_CONFIG || join(homeFolder(environment), '.docker'), 'config.json')
}

/** The JSON of such a file; undefined when it may not be read or is not there, or does not hold `text`. Throws DOCKER_CONFIG_INVALID. */
export function readDockerConfig(file: string, text = ''): unknown {
  let content: string
  try {
    content = readNamedFile(file).toString('utf8')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(errorCode(error) ?? '')) return undefined
    throw new TbuildError('DOCKER_CONFIG_INVALID', `${file} cannot be read: ${(error as Error).message}`, { cause: error })
  }
  if (content.trim() === '' || !content.includes(text)) return undefined
  try {
    return JSON.parse(content)
  } catch (cause) {
    throw new TbuildError('DOCKER_CONFIG_INVALID', `${file} is not valid JSON`, {
      hint: 'mend the file, or run `docker login` again',
      cause,
    })
  }
}

import type { BuildOptions } from '../../build-options.ts'
import { unsupported, usage } from '../usage.ts'
import { csvPairs } from './csv.ts'

type Secret = NonNullable<BuildOptions['secrets']>[number]

/** `--secret id=ID[,src=FILE|,env=NAME]`. With an id alone: the environment variable of that name, else the file of that name (buildx). */
export function secret(text: string, environment: Readonly<Record<string, string | undefined>>): Secret {
  const pairs = csvPairs(text, '--secret')
  for (const key of pairs.keys()) {
    if (!['type', 'id', 'src', 'source', 'env'].includes(key))
      throw usage(`unexpected key ${JSON.stringify(key)} in --secret ${JSON.stringify(text)}`)
  }
  const id = pairs.get('id')
  if (!id) throw usage(`--secret ${JSON.stringify(text)} has no id`, 'write --secret id=NAME,src=FILE')
  const type = pairs.get('type')
  if (type !== undefined && type !== 'file' && type !== 'env') throw unsupported(`secret type ${JSON.stringify(type)}`)
  const path = pairs.get('src') || pairs.get('source')
  const env = pairs.get('env')
  // Beside a path, too (BuildKit).
  if (env) return { id, source: { env } }
  if (path) return { id, source: type === 'env' ? { env: path } : { file: path } }
  return { id, source: environment[id] === undefined ? { file: id } : { env: id } }
}

type Ssh = NonNullable<BuildOptions['ssh']>[number]

/** `--ssh default|ID[=SOCKET|KEY[,KEY…]]`; without paths the agent at $SSH_AUTH_SOCK, without an id `default`. */
export function ssh(text: string): Ssh {
  const equals = text.indexOf('=')
  const id = equals === -1 ? text : text.slice(0, equals)
  const paths = equals === -1 ? [] : text.slice(equals + 1).split(',')
  if (paths.length > 1 && paths.includes('')) throw usage(`invalid --ssh ${JSON.stringify(text)}: a path is empty`)
  return { id: id || 'default', paths: paths.length === 1 && paths[0] === '' ? [] : paths }
}

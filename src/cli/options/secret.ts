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
    if (!pairs.get(key)) throw usage(`--secret: ${key} needs a value`)
  }
  const id = pairs.get('id')
  if (id === undefined) throw usage(`--secret ${JSON.stringify(text)} has no id`, 'write --secret id=NAME,src=FILE')
  const type = pairs.get('type')
  if (type !== undefined && type !== 'file' && type !== 'env') throw unsupported(`secret type ${JSON.stringify(type)}`)
  const path = pairs.get('src') ?? pairs.get('source')
  const env = pairs.get('env')
  if (path !== undefined && env !== undefined) throw usage(`--secret id=${id}: src and env cannot both be given`)
  if (env !== undefined) return { id, source: { env } }
  if (type === 'env') return { id, source: { env: path ?? id } }
  if (path !== undefined) return { id, source: { file: path } }
  return type === undefined && environment[id] !== undefined ? { id, source: { env: id } } : { id, source: { file: id } }
}

type Ssh = NonNullable<BuildOptions['ssh']>[number]

/** `--ssh default|ID[=SOCKET|KEY[,KEY…]]`; without paths the agent at $SSH_AUTH_SOCK, without an id `default`. */
export function ssh(text: string): Ssh {
  const equals = text.indexOf('=')
  const id = equals === -1 ? text : text.slice(0, equals)
  const paths = equals === -1 ? [] : text.slice(equals + 1).split(',')
  return { id: id || 'default', paths: paths.length === 1 && paths[0] === '' ? [] : paths }
}

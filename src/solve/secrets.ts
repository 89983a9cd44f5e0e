import { createReadStream } from 'node:fs'
import { errorCode, TbuildError } from '../base/errors.ts'
import { readCapped } from '../base/read-capped.ts'
import type { BuildOptions } from '../build-options.ts'
import type { SecretProvider } from '../ops/types.ts'
import { openNamedFile } from '../values/named-file.ts'

/** BuildKit's limit of a secret. Bytes. */
const LIMIT = 500 * 1024

/** The agents of it end with the build. */
export interface Secrets extends SecretProvider {
  close(): void
}

/** `--secret`, whose values are read when a RUN asks for them and kept nowhere, and the agents of `--ssh`, which are looked at now. */
export async function openSecrets(
  { secrets = [], ssh = [], allow = [] }: BuildOptions,
  environment: Readonly<Record<string, string | undefined>>,
  temporary: () => string,
): Promise<Secrets> {
  const sources = new Map(secrets.map(({ id, source }) => [id, source]))
  const agents = ssh.length === 0 ? undefined : (await import('../ssh/agents.ts')).openAgents(ssh, environment, temporary)
  const withholds: Secrets['withholds'] = (kind, { triggerOf }) =>
    triggerOf !== undefined && !allow.includes(kind === 'secret' ? 'onbuild.secrets' : 'onbuild.ssh')
  return {
    withholds,
    async secret(id, asker) {
      if (withholds('secret', asker)) return undefined
      const source = sources.get(id)
      if (source === undefined) return undefined
      if ('file' in source) return readSecret(id, source.file)
      const value = environment[source.env]
      return value === undefined ? undefined : Buffer.from(value)
    },
    ssh: async (id, asker) => (withholds('ssh', asker) ? undefined : agents?.socket(id)),
    close: () => agents?.close(),
  }
}

async function readSecret(id: string, file: string): Promise<Buffer> {
  try {
    // As a stream: it may be a pipe.
    const value = await readCapped(createReadStream('', { fd: openNamedFile(file) }), LIMIT)
    if (value === undefined) throw new TbuildError('SECRET_TOO_LARGE', `secret ${id} is larger than ${LIMIT} bytes`)
    return value
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
    throw new TbuildError('SECRET_FILE', `the file of secret ${id} is not there: ${file}`)
  }
}

import { createReadStream } from 'node:fs'
import { errorCode, TbuildError } from '../base/errors.ts'
import type { BuildOptions } from '../build-options.ts'
import type { SecretProvider } from '../ops/types.ts'
import type { Agents } from '../ssh/agents.ts'

/** BuildKit's limit of a secret. Bytes. */
const LIMIT = 500 * 1024

/** `--secret`, whose values are read when a RUN asks for them and kept nowhere, and the agents of `--ssh`. */
export function secretProvider(
  options: BuildOptions,
  environment: Readonly<Record<string, string | undefined>>,
  agents: Agents | undefined,
): SecretProvider {
  const secrets = new Map((options.secrets ?? []).map(({ id, source }) => [id, source]))
  return {
    async secret(id) {
      const source = secrets.get(id)
      if (source === undefined) return undefined
      if ('file' in source) return readSecret(id, source.file)
      const value = environment[source.env]
      return value === undefined ? undefined : Buffer.from(value)
    },
    ssh: async (id) => agents?.socket(id),
  }
}

async function readSecret(id: string, file: string): Promise<Buffer> {
  try {
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of createReadStream(file)) {
      size += chunk.length
      if (size > LIMIT) throw new TbuildError('SECRET_TOO_LARGE', `secret ${id} is larger than ${LIMIT} bytes`)
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
    throw new TbuildError('SECRET_FILE', `the file of secret ${id} is not there: ${file}`)
  }
}

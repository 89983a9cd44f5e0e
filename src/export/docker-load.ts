import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { errorCode, TbuildError } from '../base/errors.ts'

export interface DockerLoadOptions {
  /** The whole environment of the caller: the client is the caller's own. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** `docker --context`. */
  readonly context?: string | undefined
  readonly signal: AbortSignal
}

/** Hands an archive to `docker load`, as `write` makes it. Errors: DOCKER_LOAD. */
export async function loadWithDocker<T>(
  write: (sink: (data: Uint8Array) => Promise<void>) => Promise<T>,
  { environment, context, signal }: DockerLoadOptions,
): Promise<T> {
  const args = [...(context === undefined ? [] : ['--context', context]), 'load']
  const child = spawn('docker', args, { env: environment as NodeJS.ProcessEnv, stdio: ['pipe', 'ignore', 'pipe'], signal })
  const { stdin, stderr } = child
  let said = ''
  stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4096)
  })
  const ended = new Promise<string | undefined>((resolve) => {
    child.on('error', (error) => resolve(errorCode(error) === 'ENOENT' ? 'docker is not installed' : error.message))
    child.on('close', (status) => resolve(status === 0 ? undefined : said.trim() || `exit status ${status}`))
  })
  // A client that ended takes nothing more: what it said is the error then.
  let gone: Error | undefined
  stdin.on('error', (error) => {
    gone = error
  })
  const sink = async (data: Uint8Array) => {
    if (gone !== undefined) throw gone
    if (!stdin.write(data)) await Promise.race([once(stdin, 'drain'), ended])
  }
  const written = await write(sink).then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  if ('error' in written && gone === undefined) child.kill()
  stdin.end()
  const problem = await ended
  if ('error' in written && gone === undefined) throw written.error
  if (problem !== undefined || 'error' in written) throw failed(problem ?? String(gone))
  return written.value
}

function failed(problem: string): TbuildError {
  return new TbuildError('DOCKER_LOAD', `docker load: ${problem}`, {
    hint: 'the image is in the store of tbuild; -o type=docker,dest=FILE writes an archive for `docker load`',
  })
}

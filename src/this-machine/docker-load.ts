import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Environment } from '../base/environment.ts'
import { errorCode, TbuildError } from '../base/errors.ts'
import type { Sink } from '../caller/caller.ts'

interface DockerLoad {
  /** Whole: the client is the caller's own. */
  readonly environment: Environment
  /** `docker --context`. */
  readonly context: string | undefined
  readonly signal: AbortSignal
}

/** Hands an archive to `docker load`. Errors: DOCKER_LOAD. */
export function dockerSink({ environment, context, signal }: DockerLoad): Sink {
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
  let gone: Error | undefined
  stdin.on('error', (error) => {
    gone = error
  })
  /** A client that ended takes nothing more: what it said is the error then. */
  const refusal = async () => failed((await ended) ?? String(gone))
  return {
    async write(data) {
      if (gone !== undefined) throw await refusal()
      if (stdin.write(data)) return
      try {
        await Promise.race([once(stdin, 'drain'), ended])
      } catch {
        throw await refusal()
      }
    },
    async commit() {
      stdin.end()
      const problem = await ended
      if (problem !== undefined) throw failed(problem)
    },
    async abort() {
      child.kill()
      await ended
    },
  }
}

function failed(problem: string): TbuildError {
  return new TbuildError('DOCKER_LOAD', `docker load: ${problem}`, {
    hint: 'the image is in the store of tbuild; -o type=docker,dest=FILE writes an archive for `docker load`',
  })
}

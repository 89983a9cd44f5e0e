import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'
import type { Environment } from '../base/environment.ts'
import { TbuildError } from '../base/errors.ts'
import type { Credentials } from '../caller/credentials.ts'
import { printable } from '../http/redact.ts'

/** Characters of an answer, and of what is shown of a failure. */
const LIMIT = 64 * 1024
const SHOWN = 300
const TIMEOUT = 30_000
/** Milliseconds after its end in which what a helper has written is read: a daemon that it leaves behind may hold its output open. */
const GRACE = 500

/**
 * `docker-credential-NAME get`, with the caller's whole environment: those of CI systems take their secret from there. Undefined when the helper knows nothing
 * of the server; CREDENTIAL_HELPER_FAILED when it cannot be asked.
 */
export async function askHelper(
  name: string,
  server: string,
  environment: Environment,
  signal?: AbortSignal,
): Promise<Credentials | undefined> {
  // A name with a slash would run a program of the configuration file's choice.
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name)) throw failed(name, 'the name is not a plain word')
  const program = await findProgram(`docker-credential-${name}`, environment.PATH ?? '')
  if (program === undefined) throw failed(name, 'not found in PATH')
  const { status, output, complaint, error } = await runHelper(program, server, environment, signal)
  if (error !== undefined) throw failed(name, error)
  if (status !== 0) {
    if (/credentials not found/i.test(output)) return undefined
    // The protocol has the reason on standard output.
    const said = printable(output, SHOWN) || printable(complaint, SHOWN)
    throw failed(name, said === '' ? `exit status ${status}` : `exit status ${status}: ${said}`)
  }
  return parseAnswer(name, output)
}

function failed(name: string, reason: string): TbuildError {
  return new TbuildError('CREDENTIAL_HELPER_FAILED', `docker-credential-${printable(name, 60)}: ${reason}`, {
    hint: "install the helper, or take it out of docker's config.json",
  })
}

/** As Go's exec, which docker uses: no relative entry of PATH, which would mean a program of the working directory. */
async function findProgram(name: string, path: string): Promise<string | undefined> {
  for (const folder of path.split(':').filter((entry) => entry.startsWith('/'))) {
    const file = join(folder, name)
    if (
      await access(file, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return file
  }
  return undefined
}

function parseAnswer(name: string, output: string): Credentials | undefined {
  let answer: { Username?: unknown; Secret?: unknown } | null
  try {
    answer = JSON.parse(output)
  } catch {
    throw failed(name, 'its answer is not JSON')
  }
  const { Username: username, Secret: secret } = answer ?? {}
  if (typeof username !== 'string' || typeof secret !== 'string') throw failed(name, 'its answer lacks Username or Secret')
  if (secret === '') return undefined
  const source = `docker-credential-${name}`
  return username === '<token>' ? { identityToken: secret, source } : { username, password: secret, source }
}

interface HelperResult {
  readonly status: number | null
  readonly output: string
  /** What it wrote to standard error. */
  readonly complaint: string
  readonly error?: string
}

async function runHelper(program: string, server: string, environment: Environment, signal?: AbortSignal): Promise<HelperResult> {
  const { spawn } = await import('node:child_process')
  const env = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined))
  let child: ChildProcessWithoutNullStreams
  try {
    // In the caller's session: it may ask on the terminal.
    child = spawn(program, ['get'], { env: env as NodeJS.ProcessEnv, stdio: ['pipe', 'pipe', 'pipe'] })
  } catch (cause) {
    // Of some errors Node makes no event: an environment that is too long for the system.
    return { status: null, output: '', complaint: '', error: printable((cause as Error).message) }
  }
  return new Promise((resolve) => {
    let error: string | undefined
    const stop = (reason: string) => {
      error ??= reason
      child.kill('SIGKILL')
      letGo(child)
    }
    const late = setTimeout(() => stop(`no answer in ${TIMEOUT / 1000} s`), TIMEOUT)
    const abort = () => stop('the build was canceled')
    signal?.addEventListener('abort', abort, { once: true })
    if (signal?.aborted) abort()
    const output = gather(child.stdout, () => stop('its answer is too long'))
    const complaint = gather(child.stderr)
    child.on('error', (cause) => {
      error ??= printable(cause.message)
    })
    // A helper that does not read its input is no reason to fail.
    child.stdin.on('error', () => {})
    child.stdin.end(server)
    child.on('exit', () => setTimeout(() => letGo(child), GRACE).unref())
    child.on('close', (status, killed) => {
      clearTimeout(late)
      signal?.removeEventListener('abort', abort)
      if (killed !== null) error ??= `ended by ${killed}`
      resolve({ status, output: output(), complaint: complaint(), ...(error === undefined ? {} : { error }) })
    })
  })
}

function gather(stream: NodeJS.ReadableStream, over = () => {}): () => string {
  let text = ''
  stream.setEncoding('utf8').on('data', (part: string) => {
    if (text.length <= LIMIT) text += part
    if (text.length > LIMIT) over()
  })
  return () => text
}

/** Whoever else holds its output open is not waited for. */
function letGo({ stdout, stderr }: ChildProcessWithoutNullStreams): void {
  stdout.destroy()
  stderr.destroy()
}

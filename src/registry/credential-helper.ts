import { TbuildError } from '../base/errors.ts'
import type { Credentials } from './credentials.ts'
import type { Environment } from './proxy.ts'
import { printable } from './redact.ts'

const LIMIT = 64 * 1024
const TIMEOUT = 30_000
/** What helpers need to find a key ring or a cloud identity; nothing else of the caller's environment reaches them. */
const PASSED =
  /^(PATH|HOME|USER|LOGNAME|LANG|DISPLAY|DOCKER_CONFIG|GNUPGHOME|GPG_TTY|PASSWORD_STORE_DIR|XDG_.*|DBUS_.*|AWS_.*|ECR_.*|GOOGLE_.*|CLOUDSDK_.*|AZURE_.*|ACR_.*|(?:HTTPS?|NO)_PROXY|SSL_CERT_(?:FILE|DIR))$/i

/** `docker-credential-NAME get`: undefined when the helper knows nothing of the server; CREDENTIAL_HELPER_FAILED when it cannot be asked. */
export async function askHelper(name: string, server: string, environment: Environment): Promise<Credentials | undefined> {
  // A name with a slash would run a program of the configuration file's choice.
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name)) throw failed(name, 'the name is not a plain word')
  const { status, output, error } = await runHelper(`docker-credential-${name}`, server, environment)
  if (error !== undefined) throw failed(name, error)
  if (status !== 0) {
    if (/credentials not found/i.test(output)) return undefined
    throw failed(name, printable(output, 200) || `exit status ${status}`)
  }
  return parseAnswer(name, output)
}

function failed(name: string, reason: string): TbuildError {
  return new TbuildError('CREDENTIAL_HELPER_FAILED', `docker-credential-${printable(name, 60)}: ${reason}`, {
    hint: "install the helper, or take it out of docker's config.json",
  })
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
  status: number | null
  output: string
  error?: string
}

async function runHelper(program: string, server: string, environment: Environment): Promise<HelperResult> {
  const { spawn } = await import('node:child_process')
  const env = Object.fromEntries(Object.entries(environment).filter(([key, value]) => value !== undefined && PASSED.test(key)))
  return new Promise((resolve) => {
    const child = spawn(program, ['get'], {
      env: env as NodeJS.ProcessEnv,
      stdio: ['pipe', 'pipe', 'ignore'],
      cwd: '/',
      timeout: TIMEOUT,
      killSignal: 'SIGKILL',
    })
    let output = ''
    let error: string | undefined
    child.on('error', (cause: NodeJS.ErrnoException) => {
      error = cause.code === 'ENOENT' ? 'not found in PATH' : printable(cause.message)
    })
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
      if (output.length <= LIMIT) return
      error = 'its answer is too long'
      child.kill('SIGKILL')
    })
    // A helper that does not read its input is no reason to fail.
    child.stdin.on('error', () => {})
    child.stdin.end(server)
    child.on('close', (status, signal) => {
      const reason = error ?? (signal === null ? undefined : `ended by ${signal}`)
      resolve({ status, output, ...(reason === undefined ? {} : { error: reason }) })
    })
  })
}
